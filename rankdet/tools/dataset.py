"""Generate, describe, draw and check datasets: ``python -m rankdet.tools.dataset --help``.

``generate`` makes one of the embedded datasets; the others take any dataset that is registered with
Detectron2.
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

from rankdet.data.annotation_checks import Record
from rankdet.data.class_stats import dataset_counts
from rankdet.data.dataset_warnings import (
    deep_images_warning,
    empty_classes_warning,
    left_out_warning,
    negatives_warning,
)
from rankdet.data.glyphs import ensure_glyphs
from rankdet.data.image_files import check_images
from rankdet.data.masks import judge_mask
from rankdet.data.registered import ensure_dataset, load_dicts
from rankdet.engine.arguments import whole_number
from rankdet.tools.command_line import (
    errors_as_sentences,
    picture_file,
    tool_parser,
)
from rankdet.tools.dataset_summary import as_text, plot, summarize_dataset
from rankdet.tools.pictures import read_picture

_CELL = 384  # pixels, least width of a drawn image


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands. User errors exit with a one-line message."""
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        options.run(options)


def generate(options: argparse.Namespace) -> None:
    """Generate an embedded dataset and print where its annotations are."""
    print(ensure_glyphs(options.name, num_workers=options.workers, force=options.force))


def describe(options: argparse.Namespace) -> None:
    """Print the counts of a dataset, and plot them where asked to."""
    records, metadata = load(options.name)
    summary = summarize_dataset(options.name, records, metadata)
    print(as_text(summary))
    print()
    _print_warnings(dataset_warnings(options.name))
    if options.output:
        _save(plot(summary), options.output)


def draw(options: argparse.Namespace) -> None:
    """Draw evenly spaced annotated images with their boxes and masks."""
    records, metadata = load(options.name)
    annotated = [record for record in records if record.get("annotations")]
    if not annotated:
        raise ValueError(f"{options.name!r} has no annotations to draw.")
    _save(draw_samples(evenly_spaced(annotated, options.num), metadata), options.output)


def check(options: argparse.Namespace) -> None:
    """Check the annotations and all images of a dataset, as a training does when it starts."""
    _print_warnings(dataset_warnings(options.name))
    defects = check_images(options.name, decode=options.decode)
    _print_warnings([deep_images_warning(options.name, defects.deep)])
    depth = "all pixels" if options.decode else "the headers"
    print(f"The annotations of {options.name} and {depth} of its images can be read.")


def draw_samples(records: Sequence[dict[str, Any]], metadata: Metadata) -> Figure:
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


def dataset_warnings(name: str) -> list[str]:
    """Sentences about objects that are left out, empty classes and missing negatives.

    Raises:
        ValueError: they are damaged.
        FileNotFoundError: they are missing.
    """
    counted = dataset_counts(name)
    instances = counted.counts.instances.tolist()
    return [
        left_out_warning(name, counted.left_out, sum(instances)),
        empty_classes_warning(instances, counted.class_names, "instance"),
        negatives_warning(name) if counted.lacks_negatives else "",
    ]


def evenly_spaced(records: Sequence[Record], number: int) -> list[Record]:
    """``number`` of the records, from the first on, or all if there are fewer."""
    number = min(number, len(records))
    return [records[index * len(records) // number] for index in range(number)]


def load(name: str) -> tuple[list[Record], Metadata]:
    """The records and the metadata of a registered dataset.

    Raises:
        ValueError: there is no such dataset, or its files are damaged.
        FileNotFoundError: its files are missing.
    """
    dataset_counts(name)
    records = load_dicts(name)
    return records, ensure_dataset(name)


def _draw_record(record: dict[str, Any], metadata: Metadata) -> npt.NDArray[np.uint8]:
    pixels = read_picture(record["file_name"])
    height, width = pixels.shape[:2]
    # Enlarged before drawing, as the labels would be as small as the image.
    size = [round(side * max(1.0, _CELL / width)) for side in (height, width)]
    transform = TransformList([ResizeTransform(height, width, *size)])
    annotations = [
        transform_instance_annotations(_drawable(one), transform, tuple(size))
        for one in record["annotations"]
        if not one.get("iscrowd", 0)
    ]
    drawn = Visualizer(transform.apply_image(pixels), metadata)
    # The visualizer wants masks for all objects, or for none.
    for has_mask in (False, True):
        group = [one for one in annotations if ("segmentation" in one) == has_mask]
        drawn.draw_dataset_dict({"annotations": group})
    return np.asarray(drawn.output.get_image(), dtype=np.uint8)


def _print_warnings(warnings: list[str]) -> None:
    for warning in filter(None, warnings):
        print(f"Warning: {warning}.")


def _drawable(annotation: Record) -> Record:
    """Drop key points, and masks without foreground, on which the visualizer fails."""
    has_mask = judge_mask(annotation.get("segmentation")).kind in ("polygons", "rle")
    left_out = {"keypoints"} if has_mask else {"keypoints", "segmentation"}
    return {key: value for key, value in annotation.items() if key not in left_out}


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
        "--workers", metavar="N", type=whole_number(1), help="processes; default: by cores"
    )
    command.add_argument("--force", action="store_true", help="even if it is there")
    command.set_defaults(run=generate)

    command = commands.add_parser("describe", help="print and plot what a dataset holds")
    command.add_argument("name", help="any registered dataset")
    command.add_argument("--output", metavar="FILE", type=picture_file, help="plot to write")
    command.set_defaults(run=describe)

    command = commands.add_parser("check", help="check annotations and images, as a training does")
    command.add_argument("name", help="any registered dataset")
    command.add_argument(
        "--decode", action="store_true", help="read all pixels, to find images that were cut off"
    )
    command.set_defaults(run=check)

    command = commands.add_parser("draw", help="draw samples with boxes and masks")
    command.add_argument("name", help="any registered dataset")
    command.add_argument(
        "--num",
        metavar="N",
        type=whole_number(1),
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
