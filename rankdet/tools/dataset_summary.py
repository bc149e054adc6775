"""Counts that describe a detection dataset, and their table and plots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import Metadata
from detectron2.structures import BoxMode
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tabulate import tabulate

from rankdet.data.class_names import read_class_names
from rankdet.data.frequency_groups import LABELS, frequency_group
from rankdet.tools.frequency_colors import COLORS, name_classes

IntArray = npt.NDArray[np.int64]

_SIZE_EDGES = (0, 16, 32, 64, 96, np.inf)


@dataclass(frozen=True)
class DatasetSummary:
    """What a dataset holds, without crowd annotations.

    Attributes:
        name: under which it is registered.
        class_names: of the C classes.
        groups: the letter of each class: ``f``, ``c`` or ``r``.
        image_counts: ``(C,)`` images that show each class.
        instance_counts: ``(C,)`` instances of each class.
        instances_per_image: ``(images,)``.
        box_sides: ``(instances,)`` square root of the area of the box, pixels.
    """

    name: str
    class_names: list[str]
    groups: list[str]
    image_counts: IntArray
    instance_counts: IntArray
    instances_per_image: IntArray
    box_sides: npt.NDArray[np.float64]


def summarize_dataset(
    name: str, records: list[dict[str, Any]], metadata: Metadata
) -> DatasetSummary:
    """Count a dataset.

    Args:
        name: of the dataset.
        records: in Detectron2's format.
        metadata: of the dataset. Its ``class_image_count``, where it has one, decides which classes
            are rare, as for LVIS, whose groups come from the training set; else the counts do.
    """
    objects = [
        [one for one in record.get("annotations", []) if not one.get("iscrowd", 0)]
        for record in records
    ]
    class_names = read_class_names(name)
    num_classes = len(class_names)
    shown = [index for group in objects for index in {one["category_id"] for one in group}]
    image_counts = _count(shown, num_classes)
    training = {one["id"]: one["image_count"] for one in metadata.get("class_image_count", [])}
    deciding = [training[one] for one in sorted(training)] or image_counts.tolist()
    return DatasetSummary(
        name=name,
        class_names=class_names,
        groups=[frequency_group(images) for images in deciding],
        image_counts=image_counts,
        instance_counts=_count(
            [one["category_id"] for group in objects for one in group], num_classes
        ),
        instances_per_image=np.array([len(group) for group in objects], dtype=np.int64),
        box_sides=np.array([_box_side(one) for group in objects for one in group]),
    )


def as_text(summary: DatasetSummary) -> str:
    """The totals, the frequency groups and the sizes as tables."""
    totals = [
        ("images", len(summary.instances_per_image)),
        ("  without an instance", int((summary.instances_per_image == 0).sum())),
        ("instances", int(summary.instance_counts.sum())),
        ("classes", len(summary.class_names)),
        ("  without an instance", int((summary.instance_counts == 0).sum())),
    ]
    groups = [_group_row(summary, letter) for letter in LABELS]
    header = ["classes by training images", "classes", "images per class", "instances"]
    sides, _ = np.histogram(summary.box_sides, _SIZE_EDGES)
    sizes = [
        (f"{low:g} to {high:g} px" if np.isfinite(high) else f"{low:g} px and more", int(number))
        for low, high, number in zip(_SIZE_EDGES[:-1], _SIZE_EDGES[1:], sides, strict=True)
    ]
    return "\n\n".join(
        [
            tabulate(totals, [summary.name, ""]),
            tabulate(groups, header),
            tabulate(sizes, ["side of the box", "instances"]),
        ]
    )


def plot(summary: DatasetSummary) -> Figure:
    """The classes by frequency, the sizes, and the crowdedness of the images."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(
        f"{summary.name}: {summary.instance_counts.sum():,} instances of "
        f"{len(summary.class_names):,} classes in {len(summary.instances_per_image):,} images"
    )
    axes = figure.subplot_mosaic("AA;BC", height_ratios=(3, 2))
    _plot_classes(axes["A"], summary)
    _plot_sizes(axes["B"], summary)
    _plot_crowdedness(axes["C"], summary)
    for one in axes.values():
        one.spines[["top", "right"]].set_visible(False)
    return figure


def _count(classes: list[int], num_classes: int) -> IntArray:
    return np.bincount(np.array(classes, dtype=np.int64), minlength=num_classes)


def _box_side(annotation: dict[str, Any]) -> float:
    box = BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYWH_ABS)
    return float(np.sqrt(max(0.0, box[2]) * max(0.0, box[3])))


def _group_row(summary: DatasetSummary, letter: str) -> tuple[str, int, str, int]:
    chosen = np.array(summary.groups) == letter
    images = summary.image_counts[chosen]
    spread = f"{images.min()} to {images.max()}" if len(images) else "-"
    label = {"f": "frequent (over 100)", "c": "common (11 to 100)", "r": "rare (up to 10)"}[letter]
    return label, int(chosen.sum()), spread, int(summary.instance_counts[chosen].sum())


def _plot_classes(axes: Axes, summary: DatasetSummary) -> None:
    order = np.argsort(-summary.image_counts, kind="stable")
    groups = np.array(summary.groups)[order]
    for letter, label in LABELS.items():
        positions = np.flatnonzero(groups == letter)
        heights = summary.image_counts[order][positions]
        axes.bar(
            positions,
            heights,
            0.9,
            color=COLORS[letter],
            label=f"{label}: {len(positions)} classes",
        )
    instances = summary.instance_counts[order]
    axes.plot(np.arange(len(order)), instances, "k.", markersize=4, label="instances of the class")
    axes.set(yscale="log", ylabel="images that show the class", xlim=(-0.6, len(order) - 0.4))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0.7)
    names = [summary.class_names[index] for index in order]
    name_classes(axes, names, "classes, by descending number of images")
    axes.legend(frameon=False)


def _plot_sizes(axes: Axes, summary: DatasetSummary) -> None:
    axes.hist(summary.box_sides, bins=40, color="tab:blue")
    axes.set(xlabel="side of the box (square root of its area), pixels", ylabel="instances")


def _plot_crowdedness(axes: Axes, summary: DatasetSummary) -> None:
    numbers = np.bincount(summary.instances_per_image)
    axes.bar(np.arange(len(numbers)), numbers, 0.9, color="tab:blue")
    axes.set(xlabel="annotated instances in an image", ylabel="images")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
