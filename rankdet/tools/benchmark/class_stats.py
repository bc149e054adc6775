"""Counts the classes of an annotation file of the size of LVIS v1, first and second call."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import get_lvis_instances_meta, register_lvis_instances

from rankdet.data import class_counts
from rankdet.engine.arguments import whole_number
from rankdet.tools.benchmark.lvis_like_data import NUM_INSTANCES, write_lvis_sized_file
from rankdet.tools.benchmark.timing import machine, print_timings, timed
from rankdet.tools.command_line import tool_parser

DATASET = "benchmark_lvis_v1_sized"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write such a file, measure, and delete it."""
    parser = tool_parser("benchmark class_stats", __doc__)
    parser.add_argument(
        "--instances", type=whole_number(1), default=NUM_INSTANCES, help="default: %(default)d"
    )
    num_instances = parser.parse_args(arguments).instances
    print(machine())
    with tempfile.TemporaryDirectory(prefix="rankdet-benchmark-") as folder:
        path = Path(folder) / "annotations.json"
        write_lvis_sized_file(path, num_instances=num_instances)
        print(f"{num_instances} instances, {path.stat().st_size / 1e6:.0f} MB of JSON")
        with _registered(path):
            print_timings(
                {
                    "json.loads alone": timed(lambda: json.loads(path.read_text())),
                    "class_counts, first call": timed(lambda: class_counts(DATASET)),
                    "class_counts, second call": timed(lambda: class_counts(DATASET)),
                }
            )


@contextmanager
def _registered(path: Path) -> Iterator[None]:
    """Register the file as a dataset of LVIS, with a cache of its own, for as long as it lasts."""
    register_lvis_instances(DATASET, get_lvis_instances_meta("lvis_v1"), str(path), "")
    cache = os.environ.get("RANKDET_CACHE")
    os.environ["RANKDET_CACHE"] = str(path.parent / "cache")
    try:
        yield
    finally:
        os.environ.pop("RANKDET_CACHE")
        if cache is not None:
            os.environ["RANKDET_CACHE"] = cache
        DatasetCatalog.remove(DATASET)
        MetadataCatalog.remove(DATASET)
