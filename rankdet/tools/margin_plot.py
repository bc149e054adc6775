"""Plots the class margins and weights of ECM, as figures 4 and 7 of its paper do."""

from typing import Literal

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from rankdet.data.frequency_groups import Classes
from rankdet.losses.ecm import ECMLoss, class_margins
from rankdet.tools.frequency_colors import (
    MAX_NAMED_CLASSES,
    class_colors,
    legend_handles,
    name_classes,
)

_BACKGROUND = "black"


def plot_margins(loss: ECMLoss, classes: Classes, *, num_stages: int = 1) -> Figure:
    """Plot margins and weights, against the negative-to-positive ratio and by class.

    Args:
        loss: its counts and its background ratio decide.
        classes: its C classes.
        num_stages: of the cascade whose first stage has this loss.
    """
    num_pos, num_neg = loss.num_pos.cpu(), loss.num_neg.cpu()
    colors = [*class_colors(classes.groups), _BACKGROUND]
    figure = Figure(figsize=(15, 8), layout="constrained")
    figure.suptitle(_title(loss, num_stages))
    axes = figure.subplot_mosaic("mp;wn", width_ratios=(2, 3))
    _plot_curves(axes["m"], num_neg / num_pos, colors, "margin")
    _plot_curves(axes["w"], num_neg / num_pos, colors, "weight")
    # The most frequent first; background takes the place of its own count.
    order = torch.argsort(num_pos, descending=True, stable=True).tolist()
    sorted_colors = [colors[index] for index in order]
    names = [[*classes.names, "bg"][index] for index in order]
    for key, margin, sign in zip("pn", class_margins(num_pos, num_neg), "+-", strict=True):
        _plot_by_class(axes[key], 1 / margin[order], sorted_colors, names)
        axes[key].set_ylabel(f"weight $w^{sign}$ (log scale)")
    for axis in axes.values():
        axis.spines[["top", "right"]].set_visible(False)
    background = Line2D([], [], color=_BACKGROUND, marker="o", linestyle="none", label="background")
    figure.legend(handles=[*legend_handles("o"), background], loc="outside lower center", ncols=4)
    return figure


def _title(loss: ECMLoss, num_stages: int) -> str:
    stage = f", the first of {num_stages} cascade stages" if num_stages > 1 else ""
    return (
        f"Effective class margins of {loss.num_classes:,} classes{stage}: "
        f"{loss.background_ratio:.2f} background samples per foreground sample"
    )


def _plot_curves(
    axes: Axes, ratios: Tensor, colors: list[str], kind: Literal["margin", "weight"]
) -> None:
    """The positive and the negative curve, with a point for every class."""
    low, high = ratios.min().log10().item(), ratios.max().log10().item()
    smooth = torch.logspace(low - 0.1, high + 0.1, 200, dtype=torch.float64)
    for sign, style, curve, points in zip(
        "+-", ("-", "--"), _values(smooth, kind), _values(ratios, kind), strict=True
    ):
        symbol = r"\gamma" if kind == "margin" else "w"
        axes.plot(smooth, curve, style, color="tab:gray", label=f"${symbol}^{sign}$")
        axes.scatter(ratios, points, 22, colors, zorder=3)
    axes.set(xscale="log", ylabel=kind, xlabel=r"negatives per positive $\alpha$ (log scale)")
    axes.legend(frameon=False, fontsize=13)


def _values(ratios: Tensor, kind: Literal["margin", "weight"]) -> list[Tensor]:
    margins = class_margins(torch.ones_like(ratios), ratios)
    return [margin if kind == "margin" else 1 / margin for margin in margins]


def _plot_by_class(axes: Axes, weights: Tensor, colors: list[str], names: list[str]) -> None:
    number = len(weights)
    small = 30 if number <= MAX_NAMED_CLASSES else 8
    sizes = [30 if color == _BACKGROUND else small for color in colors]
    axes.scatter(range(number), weights, sizes, colors)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:.4g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    name_classes(axes, names, "classes and background (bg), by descending number of samples")
