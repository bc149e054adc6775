"""Plots how models confuse the classes, as figure 1 of PCB (He et al., CVPR 2022) does."""

from dataclasses import dataclass
from itertools import cycle

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from torch import Tensor

from rankdet.data.frequency_groups import Classes
from rankdet.losses.confusion import pairwise_bias
from rankdet.modeling.calibration import ConfusionStatistics
from rankdet.tools.frequency_colors import (
    MAX_NAMED_CLASSES,
    class_colors,
    legend_handles,
    name_classes,
)

_UNSEEN = "0.8"
# As in the paper, lighter is more probable.
COLOR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad=_UNSEEN)
_RUN_COLORS = ("tab:blue", "tab:purple", "black", "tab:cyan", "tab:brown")  # None of a group.
_DPI = 150  # Nearly a pixel for each class of LVIS.
_STRIP = 0.025  # of the matrix: the width of the colors of the groups
_LEAST_SHARE = 0.02  # of the entries of all matrices, which share the darkest color


@dataclass(frozen=True)
class ConfusionRun:
    """What is known of a run.

    Attributes:
        name: title of its matrix and its curve.
        statistics: of the C classes of the data set.
        curve: iteration to PwB in the training; empty without a PCBLoss.
        num_iterations: of the training.
    """

    name: str
    statistics: ConfusionStatistics
    curve: dict[int, float]
    num_iterations: int

    @property
    def bias(self) -> float:
        """PwB on the data set, among the classes that have samples there."""
        return pairwise_bias(self.statistics.matrix, self.statistics.is_seen).item()


def plot_confusion_matrices(
    runs: list[ConfusionRun], classes: Classes, counts: Tensor, dataset: str
) -> Figure:
    """Plot the confusion matrices side by side on one color scale, and below them PwB.

    PwB is plotted only where it is known of a training; that after it is in the titles, too.

    Args:
        runs: one or more, of the same data set.
        classes: its C classes.
        counts: ``(C,)``, how frequent each class is in training; decides their order.
        dataset: its name.
    """
    heights = [8.7, 3.3] if any(run.curve for run in runs) else [8.7]
    size = (max(9.0, 7.0 * len(runs) + 1), sum(heights))
    figure = Figure(size, _DPI, layout=ConstrainedLayoutEngine(h_pad=0.08))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, hspace=0.02, squeeze=False)
    order = torch.argsort(counts, descending=True, stable=True)
    _plot_matrices(parts[0, 0], runs, classes, order, dataset)
    if len(heights) > 1:
        _plot_curves(parts[1, 0].subplots(), runs, dataset)
    return figure


def _plot_matrices(
    figure: SubFigure, runs: list[ConfusionRun], classes: Classes, order: Tensor, dataset: str
) -> None:
    norm = common_scale([run.statistics for run in runs])
    panels = figure.subplots(1, len(runs), squeeze=False)[0]
    for axes, run in zip(panels, runs, strict=True):
        _plot_matrix(axes, run, classes, order, norm)
    panels[0].set_ylabel("true class")
    figure.suptitle(f"Confusion matrix on {dataset}", fontsize=15)
    figure.colorbar(
        ScalarMappable(norm, COLOR_MAP),
        ax=panels.tolist(),
        extend="min",
        format="{x:g}",
        pad=0.01,
        label="mean predicted probability (log scale)",
    )
    handles = legend_handles("s")
    if not all(run.statistics.is_seen.all() for run in runs):
        handles.append(_handle("s", _UNSEEN, f"no proposal of the class on {dataset}"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, markerscale=1.6, frameon=False
    )


def common_scale(statistics: list[ConfusionStatistics]) -> LogNorm:
    """From a low quantile, as a model can be arbitrarily sure that a class is not another, to 1."""
    entries = torch.cat([one.matrix[one.is_seen].flatten() for one in statistics]).sort().values
    least = entries[int(_LEAST_SHARE * len(entries))].item()
    return LogNorm(min(max(least, 1e-6), 0.1), 1)


def _plot_matrix(
    axes: Axes, run: ConfusionRun, classes: Classes, order: Tensor, norm: LogNorm
) -> None:
    number = len(order)
    matrix = run.statistics.matrix.clamp(min=norm.vmin)
    matrix = matrix.masked_fill(~run.statistics.is_seen.unsqueeze(1), torch.nan)[order][:, order]
    axes.imshow(matrix.numpy(), cmap=COLOR_MAP, norm=norm)
    colors = [to_rgb(name) for name in class_colors([classes.groups[index] for index in order])]
    start, end, width = -0.5, number - 0.5, _STRIP * number
    axes.imshow([colors], extent=(start, end, end + width, end), aspect="equal")
    column = [[color] for color in colors]
    axes.imshow(column, extent=(start - width, start, end, start), aspect="equal")
    axes.set(xlim=(start - width, end), ylim=(end + width, start))
    axes.spines[:].set_visible(False)
    names = [classes.names[index] for index in order]
    name_classes(axes, names, "predicted class, by descending number of training images")
    if number <= MAX_NAMED_CLASSES:
        axes.set_yticks(range(number), names, fontsize=12)
    axes.tick_params(length=0)
    axes.set_title(f"{run.name}\nPwB {run.bias:.3f}", fontsize=13)


def _plot_curves(axes: Axes, runs: list[ConfusionRun], dataset: str) -> None:
    handles = []
    for run, color in zip(runs, cycle(_RUN_COLORS), strict=False):
        axes.plot(list(run.curve), list(run.curve.values()), color=color)
        axes.plot(run.num_iterations, run.bias, "D", color=color, clip_on=False)
        handles.append(_handle("s", color, run.name))
    handles.append(Line2D([], [], color="0.5", label="training, running mean of a PCBLoss"))
    handles.append(_handle("D", "0.5", f"{dataset}, after the training"))
    axes.set(xlabel="iteration", ylabel="pairwise bias (PwB)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))


def _handle(marker: str, color: str, label: str) -> Line2D:
    return Line2D([], [], color=color, marker=marker, linestyle="none", label=label)
