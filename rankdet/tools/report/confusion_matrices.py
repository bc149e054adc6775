"""Section of the confusion matrices and the pairwise bias (PwB)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from torch import Tensor

from rankdet.data.frequency_groups import LABELS
from rankdet.losses.confusion import pairwise_bias
from rankdet.modeling.calibration import ConfusionStatistics
from rankdet.tools.confusion_matrix_plot import COLOR_MAP, common_scale
from rankdet.tools.report import plots
from rankdet.tools.report.methods import Method, spread
from rankdet.tools.report.page import Picture, Section, with_spread


def confusion_section(
    methods: Sequence[Method],
    statistics: Mapping[Path, ConfusionStatistics],
    groups: Sequence[str],
    counts: Tensor,
    sources: Sequence[Path],
) -> Section:
    """Confusion matrices on one scale, and PwB.

    Args:
        methods: those with statistics of the first run.
        statistics: by the folder of the run.
        groups: letter of each of the C classes.
        counts: ``(C,)`` training images of each class.
        sources: files of the statistics.
    """
    order = torch.argsort(counts, descending=True, stable=True)
    letters = [groups[index] for index in order]
    norm = common_scale([statistics[method.runs[0].folder] for method in methods])
    pictures, rows = [], []
    for method in methods:
        known = [statistics[run.folder] for run in method.runs if run.folder in statistics]
        picture = _matrix(known[0], order, norm, letters, f"Confusion matrix, {method.name}")
        pictures.append(Picture(picture, method.name))
        biases = [pairwise_bias(one.matrix, one.is_seen).item() for one in known]
        rows.append([method, str(len(known)), with_spread(spread(biases), 3)])
    return Section("Confusion", "confusion", {"all": pictures, "rows": rows}, list(sources))


def _matrix(
    statistics: ConfusionStatistics, order: Tensor, norm: LogNorm, letters: list[str], label: str
) -> Markup:
    axes = plots.panel("predicted class", "true class", (4.7, 3.9))
    matrix = statistics.matrix.clamp(min=norm.vmin)
    matrix = matrix.masked_fill(~statistics.is_seen.unsqueeze(1), torch.nan)[order][:, order]
    image = axes.imshow(matrix.numpy(), cmap=COLOR_MAP, norm=norm, interpolation="none")
    axes.grid(visible=False)
    _part_groups(axes, letters)
    bar = axes.figure.colorbar(image, ax=axes, extend="min", format="{x:g}", pad=0.02)
    bar.outline.set_visible(False)
    return plots.svg(axes, label)


def _part_groups(axes: Axes, letters: list[str]) -> None:
    """Draw lines between runs of classes of one group, and name them at their middle."""
    starts = [i for i, letter in enumerate(letters) if i == 0 or letter != letters[i - 1]]
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*starts[1:], len(letters)], strict=True)]
    labels = [LABELS[letters[start]] for start in starts]
    axes.set_xticks(middles, labels)
    axes.set_yticks(middles, labels, rotation=90, va="center")
    axes.tick_params(length=0)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=0.8)
        axes.axvline(start - 0.5, color="white", linewidth=0.8)
