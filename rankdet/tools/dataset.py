"""Generate, describe and draw datasets: ``python -m rankdet.tools.dataset --help``.

``generate`` makes one of the embedded datasets; ``describe`` and ``draw`` take any dataset that is
registered with Detectron2 in the format of LVIS or COCO.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata
from detectron2.data.detection_utils import transform_instance_annotations
from detectron2.data.transforms import ResizeTransform
from detectron2.utils.visualizer import Visualizer
from fvcore.transforms.transform import TransformList
from matplotlib.figure import Figure

from rankdet.data.annotation_file import Record
from rankdet.data.class_stats import ensure_dataset, load_dicts
from rankdet.data.glyphs import ensure_glyphs
from rankdet.tools.command_line import (
    errors_as_sentences,
    picture_file,
    positive_count,
    tool_parser,
)
from rankdet.tools.dataset_summary import as_text, plot, summarize
from rankdet.tools.pictures import read_picture

_CELL = 384  # pixels, least width of a drawn image


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; what a user can do wrong ends it with one sentence."""
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        options.run(options)


def generate(options: argparse.Namespace) -> None:
    """Generate an embedded dataset and print where its annotations are."""
    print(ensure_glyphs(options.name, num_workers=options.workers, force=options.force))


def describe(options: argparse.Namespace) -> None:
    """Print the counts of a dataset, and plot them where asked to."""
    records, metadata = load(options.name)
    summary = summarize(options.name, records, metadata)
    print(as_text(summary))
    if options.output:
        _save(plot(summary), options.output)


def draw(options: argparse.Namespace) -> None:
    """Draw evenly spaced annotated images with their boxes and masks."""
    records, metadata = load(options.name)
    annotated = [record for record in records if record.get("annotations")]
    if not annotated:
        raise ValueError(f"{options.name!r} has no annotations to draw.")
    _save(draw_grid(evenly_spaced(annotated, options.num), metadata), options.output)


def draw_grid(records: Sequence[dict[str, Any]], metadata: Metadata) -> Figure:
    """Annotated images side by side, each with its id."""
    columns = math.ceil(math.sqrt(len(records)))
    rows = -(-len(records) // columns)
    figure = Figure(figsize=(5 * columns, 5.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, record in zip(axes.flat, records, strict=False):
        axis.imshow(_draw_record(record, metadata))
        axis.set_title(f"image {record['image_id']}", fontsize=9)
    return figure


def evenly_spaced(records: Sequence[Record], number: int) -> list[Record]:
    """So many of the records, from the first on, or all if they are fewer."""
    number = min(number, len(records))
    return [records[index * len(records) // number] for index in range(number)]


def load(name: str) -> tuple[list[Record], Metadata]:
    """The records and the metadata of a registered dataset.

    Raises:
        ValueError: there is no such dataset, or its files are damaged.
        FileNotFoundError: its files are missing.
    """
    metadata = ensure_dataset(name)
    return load_dicts(name), metadata


def _draw_record(record: dict[str, Any], metadata: Metadata) -> npt.NDArray[np.uint8]:
    pixels = read_picture(record["file_name"])
    height, width = pixels.shape[:2]
    # Enlarged before drawing, as the labels would be as small as the image.
    size = [round(side * max(1.0, _CELL / width)) for side in (height, width)]
    transform = TransformList([ResizeTransform(height, width, *size)])
    annotations = [
        transform_instance_annotations(dict(one), transform, tuple(size))
        for one in record["annotations"]
        if not one.get("iscrowd", 0)
    ]
    drawn = Visualizer(transform.apply_image(pixels), metadata)
    drawn.draw_dataset_dict({"annotations": annotations})
    return np.asarray(drawn.output.get_image(), dtype=np.uint8)


def _save(figure: Figure, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=100)
    print(f"Wrote {output}.")


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser("dataset", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("generate", help="make an embedded dataset")
    command.add_argument("name", help="for instance glyphs_train")
    command.add_argument(
        "--workers", metavar="N", type=positive_count, help="processes; default: by cores"
    )
    command.add_argument("--force", action="store_true", help="even if it is there")
    command.set_defaults(run=generate)

    command = commands.add_parser("describe", help="print and plot what a dataset holds")
    command.add_argument("name", help="any registered dataset")
    command.add_argument("--output", metavar="FILE", type=picture_file, help="plot to write")
    command.set_defaults(run=describe)

    command = commands.add_parser("draw", help="draw samples with boxes and masks")
    command.add_argument("name", help="any registered dataset")
    command.add_argument(
        "--num",
        metavar="N",
        type=positive_count,
        default=16,
        help="images, evenly spaced; default: %(default)s",
    )
    command.add_argument(
        "--output", metavar="FILE", type=picture_file, required=True, help="picture to write"
    )
    command.set_defaults(run=draw)
    return parser


if __name__ == "__main__":
    main()
