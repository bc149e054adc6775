"""Section of the confusion matrices and the pairwise bias (PwB)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.colors import LogNorm
from torch import Tensor

from rankdet.losses.calibration import ConfusionStatistics
from rankdet.losses.confusion import pairwise_bias
from rankdet.tools.confusion_plot import COLOUR_MAP, common_scale
from rankdet.tools.report import plots
from rankdet.tools.report.markup import Section, figure, grid, name, paragraph, table, with_spread
from rankdet.tools.report.method import Method, spread

_EXPLANATION = (
    "Mean prediction for the proposals of each true class (rows), first seed; classes by "
    "descending number of training images, grey where there was no proposal. Pairwise bias (PwB; "
    "PCB, He et al., CVPR 2022) is the norm of the matrix minus its transpose, 0 if confusions are "
    "mutual."
)


def confusion_section(
    methods: Sequence[Method],
    statistics: Mapping[Path, ConfusionStatistics],
    counts: Tensor,
    sources: Sequence[Path],
) -> Section:
    """Confusion matrices on one scale, and PwB.

    Args:
        methods: those with statistics of the first run.
        statistics: by the folder of the run.
        counts: ``(C,)`` training images of each class.
        sources: files of the statistics.
    """
    order = torch.argsort(counts, descending=True, stable=True)
    norm = common_scale([statistics[method.runs[0].folder] for method in methods])
    figures, rows = [], []
    for method in methods:
        known = [statistics[run.folder] for run in method.runs if run.folder in statistics]
        picture = _matrix(known[0], order, norm, f"Confusion matrix, {method.name}")
        figures.append(figure(picture, method.name))
        biases = [pairwise_bias(one.matrix, one.is_seen).item() for one in known]
        rows.append([name(method), str(len(known)), with_spread(spread(biases), 3)])
    html = paragraph(_EXPLANATION, "lede") + grid(figures)
    return Section("Confusion", html + table(["", "seeds", "PwB"], rows), list(sources))


def _matrix(statistics: ConfusionStatistics, order: Tensor, norm: LogNorm, label: str) -> str:
    axes = plots.panel("predicted class", "true class", (4.7, 3.9))
    matrix = statistics.matrix.clamp(min=norm.vmin)
    matrix = matrix.masked_fill(~statistics.is_seen.unsqueeze(1), torch.nan)[order][:, order]
    image = axes.imshow(matrix.numpy(), cmap=COLOUR_MAP, norm=norm, interpolation="none")
    axes.grid(visible=False)
    bar = axes.figure.colorbar(image, ax=axes, extend="min", format="{x:g}", pad=0.02)
    bar.outline.set_visible(False)
    return plots.svg(axes, label)
