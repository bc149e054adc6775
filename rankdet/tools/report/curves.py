"""Section of the training curves."""

import re
from collections.abc import Sequence

import numpy as np

from rankdet.tools.report import plots
from rankdet.tools.report.markup import Section, figure, grid, key, paragraph
from rankdet.tools.report.method import Method
from rankdet.tools.report.theme import method_colour

_LOSS = re.compile(r"^(total_loss|loss_\w+)$")
_OTHERS = {"roi_head/pairwise_bias": "pairwise bias (PwB)", "lr": "learning rate"}
_VALIDATION = {"bbox/AP": "validation, box AP", "segm/AP": "validation, mask AP"}
_MAX_QUANTILE = 0.99  # of the values of a curve that the axis shows


def curves_section(methods: Sequence[Method]) -> Section | None:
    """Each loss, and what else is logged; None without metrics.json."""
    names = dict.fromkeys(name for m in methods for run in m.runs for name in run.curves)
    if not names:
        return None
    losses = sorted(filter(_LOSS.match, names), key=lambda name: (name != "total_loss", name))
    captions = {name: name for name in losses}
    captions |= {name: text for name, text in _OTHERS.items() if name in names}
    captions |= {n: text for n, text in _VALIDATION.items() if _num_evaluations(methods, n) > 1}
    figures = [figure(_panel(methods, name), text) for name, text in captions.items()]
    html = (
        paragraph("One line for each run; Detectron2 logs the median of 20 iterations.", "lede")
        + key(methods)
        + grid(figures)
    )
    sources = [run.folder / "metrics.json" for m in methods for run in m.runs if run.curves]
    return Section("Training curves", html, sources)


def _num_evaluations(methods: Sequence[Method], name: str) -> int:
    return max(len(run.curves.get(name, {})) for m in methods for run in m.runs)


def _panel(methods: Sequence[Method], name: str) -> str:
    axes = plots.panel("iteration")
    shown: list[float] = []
    for method in methods:
        colour = plots.colour(method_colour(method.index))
        for run in method.runs:
            curve = run.curves.get(name, {})
            axes.plot(list(curve), list(curve.values()), color=colour, linewidth=1.3, alpha=0.85)
            shown += [value for value in curve.values() if value == value]
    if shown:
        # The first iterations would squash everything else.
        top = float(np.quantile(shown, _MAX_QUANTILE)) if _LOSS.match(name) else max(shown)
        low = min(0.0, *shown) if len(shown) > 1 else 0.0
        axes.set_ylim(low, 1.05 * top or 1.0)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    return plots.svg(axes, f"Curve of {name}")
