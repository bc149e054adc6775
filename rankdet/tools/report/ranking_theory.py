"""Section of the theory: detection error of classes against their ranking error, with bounds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from markupsafe import Markup
from matplotlib.ticker import LogLocator, NullFormatter

from rankdet.data.frequency_groups import LABELS
from rankdet.evaluation.ranking_theory import detection_error_bounds, linear_slope
from rankdet.tools.report import plots
from rankdet.tools.report.methods import Method
from rankdet.tools.report.page import Picture, Section, number

RankingErrors = Mapping[str, Any]
"""What :func:`rankdet.tools.ranking_errors.write_ranking_errors` writes."""

_COLUMNS = {
    "num_classes": ("classes", 0),
    "alpha": ("negatives / positive", 0),
    "ranking_error": ("R", 3),
    "detection_error": ("1 - AP", 3),
    "lower_bound": ("lower bound", 3),
    "linear_approximation": ("linear approximation", 3),
    "upper_bound": ("upper bound", 3),
}
_DRAWN = ("alpha", "ranking_error", "detection_error")
_SHORT_AXIS = 50  # ratio of the ends of an axis under which powers of 10 are too few ticks


def ranking_theory_section(
    methods: Sequence[Method], errors: Mapping[int, RankingErrors], sources: Sequence[Path]
) -> Section:
    """Errors of the classes of each group, and their means.

    Args:
        methods: those that have errors.
        errors: by the index of the method.
        sources: files of the errors.
    """
    pictures, rows = [], []
    for letter, group in LABELS.items():
        points = {index: _points(one["classes"], letter) for index, one in errors.items()}
        if any(points.values()):
            panel = _panel(methods, points, f"Detection error against ranking error, {group}")
            pictures.append(Picture(panel, group.capitalize()))
        for method in methods:
            of_group = errors[method.index]["groups"].get(letter)
            if of_group:
                cells = [
                    number(of_group[column], digits) for column, (_, digits) in _COLUMNS.items()
                ]
                rows.append([method, group, *cells])
    content = {
        "methods": methods,
        "all": pictures,
        "header": ["", "", *(label for label, _ in _COLUMNS.values())],
        "rows": rows,
    }
    notes = _num_images(methods, errors)
    return Section("Ranking theory", "ranking_theory", content, list(sources), notes)


def _num_images(methods: Sequence[Method], errors: Mapping[int, RankingErrors]) -> list[str]:
    """A sentence of how many images were scored, or one for each method where they differ."""
    of_methods = {}
    for method in methods:
        one = errors[method.index]
        scored, total = one["num_images"], one["num_dataset_images"]
        part = f"{scored:,} of the {total:,} images, spread evenly over"
        images = f"all {total:,} images of" if scored == total else part
        of_methods[method.name] = f"rests on {images} {one['dataset']}."
    if len(set(of_methods.values())) == 1:
        return [f"This section {next(iter(of_methods.values()))}"]
    return [f"{name} {images}" for name, images in of_methods.items()]


def _points(classes: Sequence[Mapping[str, Any]], letter: str) -> list[Mapping[str, Any]]:
    of_group = [one for one in classes if one["frequency"] == letter]
    return [one for one in of_group if all(one[value] is not None for value in _DRAWN)]


def _panel(
    methods: Sequence[Method], points: Mapping[int, list[Mapping[str, Any]]], label: str
) -> Markup:
    axes = plots.panel("ranking error R", "detection error")
    everything = [one for of_method in points.values() for one in of_method]
    positive = [one["ranking_error"] for one in everything if one["ranking_error"] > 0] or [0.01]
    least = min(positive) / 2
    # R = 0, which a logarithm can't show, is drawn at the left edge.
    curve = torch.logspace(math.log10(least), 0, steps=100, dtype=torch.float64)
    curve = curve[curve <= min(1.0, 3 * max(positive))]
    alpha = median(one["alpha"] for one in everything)
    for bound in detection_error_bounds(curve, alpha):
        axes.plot(curve, bound, color=plots.color("muted"), linewidth=1.1)
    line = linear_slope(alpha) * curve
    axes.plot(curve, line, color=plots.color("soft"), linewidth=1.1, dashes=(4, 3))
    for method in methods:
        errors = [
            (max(one["ranking_error"], least), one["detection_error"])
            for one in points[method.index]
        ]
        if errors:
            color = plots.color(method.color)
            x, y = zip(*errors, strict=True)
            axes.scatter(x, y, 15, color, alpha=0.75, linewidths=0, zorder=3)
    axes.set_xscale("log")
    if curve[-1] < _SHORT_AXIS * least:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlim=(least / 1.1, curve[-1].item()), ylim=(-0.02, 1.02))
    return plots.svg(axes, label)
