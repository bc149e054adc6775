"""Plots the errors of classes against their bounds, as figures 2 and 3 of ECM do."""

import math
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from rankdet.data.frequency_groups import LABELS
from rankdet.evaluation.ranking_theory import detection_error_bounds, linear_slope
from rankdet.tools.frequency_colors import COLORS, MAX_NAMED_CLASSES

Record = dict[str, Any]
_BAND = "0.9"
_BOUND = "0.35"
_LINEAR = "tab:blue"


def plot_ranking_errors(analysis: Record) -> Figure:
    """Plot detection and classification error against ranking error, a point for every class.

    A column for each group of classes. The bounds of a class depend on its negative-to-positive
    ratio alpha: lines are drawn for the group's median, and the shade contains the bounds of all.
    The paper has one class in a panel, and a point for every checkpoint.

    Args:
        analysis: content of the file that :mod:`rankdet.tools.ranking_errors` writes.
    """
    groups = {
        letter: [r for r in analysis["classes"] if r["frequency"] == letter and r["alpha"]]
        for letter in analysis["groups"]
    }
    errors = _errors_to_plot([r["ranking_error"] for of in groups.values() for r in of])
    figure = Figure(figsize=(1.5 + 4.2 * len(groups), 8), layout="constrained")
    panels = figure.subplots(2, len(groups), sharex=True, sharey="row", squeeze=False)
    for column, (letter, records) in enumerate(groups.items()):
        _plot_detection(panels[0, column], records, errors, analysis["groups"][letter])
        _plot_points(panels[0, column], records, errors, "detection_error", letter)
        panels[1, column].plot(errors, errors, color=_BOUND)
        _plot_points(panels[1, column], records, errors, "classification_error", letter)
        panels[0, column].set_title(_title(letter, analysis["groups"][letter]))
        panels[1, column].set_xlabel("ranking error R (log scale, 0 at the edge)")
    low, high = errors[0].item(), errors[-1].item()
    panels[0, 0].set(xscale="log", xlim=(low, high), ylim=(0, 1), ylabel="detection error 1 - AP")
    panels[1, 0].set(yscale="log", ylim=(low, 1), ylabel="classification error (log scale)")
    for axis, least in ((panels[0, 0].xaxis, low / high), (panels[1, 0].yaxis, low)):
        # Powers of 10 are too few ticks for a short axis.
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if least > 3e-3 else (1,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    figure.suptitle(f"Errors of the classes on {analysis['dataset']}", fontsize=15)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _errors_to_plot(errors: list[float]) -> Tensor:
    """Of smooth curves, from below the least error, or what stands for 0, to above the largest."""
    low = min([error for error in errors if error > 0], default=1e-3) / 2
    high = min(max(*errors, 2 * low) * 1.5, 1)
    ends = math.log10(low), math.log10(high)
    return torch.logspace(*ends, steps=200, dtype=torch.float64).clamp(max=1)


def _plot_detection(axes: Axes, records: list[Record], errors: Tensor, group: Record) -> None:
    ratios = [record["alpha"] for record in records]
    # Both bounds grow with alpha.
    lowest, _ = detection_error_bounds(errors, min(ratios))
    _, highest = detection_error_bounds(errors, max(ratios))
    axes.fill_between(errors, lowest, highest, color=_BAND, linewidth=0)
    for bound in detection_error_bounds(errors, group["alpha"]):
        axes.plot(errors, bound, color=_BOUND)
    linear = linear_slope(group["alpha"]) * errors
    axes.plot(errors, linear, "--", color=_LINEAR)
    axes.plot(errors, linear + group["offset"], ":", color=_LINEAR)


def _title(letter: str, group: Record) -> str:
    number = group["num_classes"]
    classes = "1 class" if number == 1 else f"{number:,} classes"
    return rf"{LABELS[letter]}: {classes}, median $\alpha$ {group['alpha']:,.0f}"


def _plot_points(axes: Axes, records: list[Record], errors: Tensor, name: str, letter: str) -> None:
    least = errors[0].item()  # A logarithmic axis has no 0, so the edge stands for it.
    x = [max(record["ranking_error"], least) for record in records]
    y = [max(record[name], least) for record in records]
    small = 30 if len(records) <= MAX_NAMED_CLASSES else 8
    axes.scatter(x, y, small, COLORS[letter], zorder=3, clip_on=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)


def _legend() -> list[Any]:
    return [
        Line2D(
            [], [], color=_BOUND, label=r"bounds: Theorem 2 at the median $\alpha$; lower row: R"
        ),
        Patch(color=_BAND, label=r"from the bound at the least to that at the largest $\alpha$"),
        Line2D(
            [],
            [],
            color=_LINEAR,
            linestyle="--",
            label="linear approximation $m R$ (near the lower bound)",
        ),
        Line2D([], [], color=_LINEAR, linestyle=":", label="$m R + o$, the least above all points"),
    ]
