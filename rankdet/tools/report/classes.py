"""Section of the AP of single classes against their frequency in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from rankdet.data.frequency_groups import LABELS
from rankdet.tools.report import plots
from rankdet.tools.report.methods import (
    ANALYZED_TASKS,
    TASKS,
    Method,
    Spread,
    have_seeds,
    spread,
)
from rankdet.tools.report.page import Picture, Section, with_spread

FloatArray = npt.NDArray[np.float64]
ClassScores = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Task to category id to name, frequency, AP and AR."""

_WINDOW = 0.3  # decades of images: standard deviation of the weights of the trend


class ClassRow(NamedTuple):
    """A class with objects in the test set."""

    name: str
    group: str
    num_images: int
    """In training."""
    aps: list[Spread | None]
    """Of each method."""


def classes_section(
    methods: Sequence[Method],
    scores: Mapping[Path, ClassScores],
    image_counts: Mapping[int, int],
    sources: Sequence[Path],
) -> Section:
    """AP of every class over its number of training images, per task.

    Args:
        methods: of the report.
        scores: by the folder of the run.
        image_counts: category id to the number of training images.
        sources: files of the scores.
    """
    tasks = dict.fromkeys(task for of_run in scores.values() for task in of_run)
    content = {
        "methods": methods,
        "have_seeds": have_seeds(methods),
        "tasks": [
            _task(methods, class_rows(methods, scores, image_counts, task), TASKS[task])
            for task in filter(tasks.__contains__, ANALYZED_TASKS)
        ],
    }
    return Section("Classes", "classes", content, list(sources))


def class_rows(
    methods: Sequence[Method],
    scores: Mapping[Path, ClassScores],
    image_counts: Mapping[int, int],
    task: str,
) -> list[ClassRow]:
    """The classes that have an AP, the most frequent first."""
    tables = [[scores[run.folder].get(task, {}) for run in method.runs] for method in methods]
    any_table = next(one for of_method in tables for one in of_method if one)
    rows = [
        ClassRow(
            entry["name"],
            entry.get("frequency") or "",
            image_counts.get(int(category_id), 0),
            [spread(one.get(category_id, {}).get("AP") for one in runs) for runs in tables],
        )
        for category_id, entry in any_table.items()
    ]
    return sorted((row for row in rows if any(row.aps)), key=lambda row: -row.num_images)


def _task(methods: Sequence[Method], rows: list[ClassRow], title: str) -> dict[str, Any]:
    # A method of boxes has no AP of masks.
    shown = [method for method in methods if any(row.aps[method.index] for row in rows)]
    cells = [
        [row.name, LABELS.get(row.group, ""), f"{row.num_images:,}", *map(with_spread, row.aps)]
        for row in rows
    ]
    return {
        "title": title,
        "methods": shown,
        "figures": _pictures(shown, rows, title),
        "rows": cells,
    }


def _pictures(methods: Sequence[Method], rows: list[ClassRow], task: str) -> list[Picture]:
    pictures = [
        Picture(_panel([method], rows, f"AP by class, {task}, {method.name}"), method.name)
        for method in methods
    ]
    if len(methods) == 1:
        return pictures
    trends = _panel(methods, rows, f"Trends of AP by class, {task}")
    return [Picture(trends, "Trends"), *pictures]


def _panel(methods: Sequence[Method], rows: list[ClassRow], label: str) -> Markup:
    axes = plots.panel("training images", "AP")
    axes.set_xscale("log")
    images = np.array([max(row.num_images, 1) for row in rows])  # No logarithm of 0.
    for method in methods:
        color = plots.color(method.color)
        aps = np.array([_mean(row.aps[method.index]) for row in rows])
        if len(methods) == 1:
            # Not clipped, for many have an AP of 0.
            axes.scatter(images, aps, 16, color, alpha=0.75, linewidths=0, clip_on=False)
        grid_images = np.geomspace(images.min(), images.max(), 60)
        axes.plot(grid_images, _trend(images, aps, grid_images), color=color)
    _part_groups(axes, rows)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    highest = max(_mean(ap) for row in rows for ap in row.aps if ap)
    axes.set_ylim(0, 1.06 * highest or 1)  # All APs can be 0, which leaves no axis.
    return plots.svg(axes, label)


def _part_groups(axes: Axes, rows: list[ClassRow]) -> None:
    """Draw lines between the groups and write their names above them."""
    boundaries = _boundaries(rows)
    for boundary in boundaries:
        axes.axvline(boundary, color=plots.color("muted"), linewidth=0.8, dashes=(4, 3))
    if len(boundaries) < len(LABELS) - 1:
        return
    edges = [axes.get_xlim()[0], *boundaries, axes.get_xlim()[1]]
    for label, low, high in zip(LABELS.values(), edges[:-1], edges[1:], strict=True):
        place = (low * high) ** 0.5, 1.01
        axes.text(*place, label, transform=axes.get_xaxis_transform(), ha="center", fontsize=9)


def _mean(value: Spread | None) -> float:
    return value.mean if value else float("nan")


def _trend(images: FloatArray, aps: FloatArray, at: FloatArray) -> FloatArray:
    """Mean AP, weighted by how near the logarithms of the numbers of images are."""
    known = ~np.isnan(aps)
    distances = np.log10(at)[:, None] - np.log10(images[known])
    weights = np.exp(-0.5 * (distances / _WINDOW) ** 2)
    trend: FloatArray = weights @ aps[known] / weights.sum(axis=1)
    return trend


def _boundaries(rows: list[ClassRow]) -> list[float]:
    """Between the groups, where their numbers of images do not overlap."""
    counts = {letter: [row.num_images for row in rows if row.group == letter] for letter in LABELS}
    boundaries = []
    for lower, upper in (("r", "c"), ("c", "f")):
        if counts[lower] and counts[upper] and max(counts[lower]) < min(counts[upper]):
            boundaries.append((max(counts[lower]) * min(counts[upper])) ** 0.5)
    return boundaries
