"""Section of the AP lost to each kind of error, and of the most costly confusions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from rankdet.tools.report import plots
from rankdet.tools.report.methods import (
    GROUPS,
    TASKS,
    Method,
    Spread,
    have_seeds,
    spread,
    with_runs,
)
from rankdet.tools.report.page import Picture, Section, number

Errors = Mapping[str, Any]
"""JSON of :class:`rankdet.evaluation.error_analysis.ErrorAnalysis`."""

_NUM_CONFUSIONS = 12


def errors_section(
    methods: Sequence[Method], errors: Mapping[str, Mapping[Path, Errors]], sources: Sequence[Path]
) -> Section:
    """Bars of lost AP by kind and group, and tables of confusions, per task.

    Args:
        methods: of the report.
        errors: task to the folder of the run to its errors.
        sources: files of the errors.
    """
    content = {
        "methods": methods,
        "have_seeds": have_seeds(methods),
        "tasks": [
            _task(with_runs(methods, by_run), by_run, task) for task, by_run in errors.items()
        ],
    }
    return Section("Errors", "errors", content, list(sources))


def _task(methods: Sequence[Method], by_run: Mapping[Path, Errors], task: str) -> dict[str, Any]:
    return {
        "title": TASKS[task],
        "is_folded": task != "bbox",
        "figures": _bars(methods, by_run, task),
        "confusions": [_confusions(method, by_run) for method in methods],
    }


def _bars(methods: Sequence[Method], by_run: Mapping[Path, Errors], task: str) -> list[Picture]:
    groups = [g for g in GROUPS if any(g in errors["groups"] for errors in by_run.values())]
    lost = {
        group: {
            method.index: _lost([by_run[run.folder]["groups"][group] for run in method.runs])
            for method in methods
        }
        for group in groups
    }
    # One scale, so that panels can be compared.
    spreads = [
        s for of_group in lost.values() for kinds in of_group.values() for s in kinds.values()
    ]
    limit = max((value.mean for value in spreads), default=1.0)
    return [
        Picture(
            _panel(methods, lost[group], limit, f"AP lost, {GROUPS[group]}, {TASKS[task]}"),
            GROUPS[group].capitalize(),
        )
        for group in groups
    ]


def _lost(groups: list[Errors]) -> dict[str, Spread]:
    """Kind to points of AP50."""
    found = {
        kind: spread(group["lost"].get(kind) for group in groups) for kind in groups[0]["lost"]
    }
    return {kind: value for kind, value in found.items() if value}


def _panel(
    methods: Sequence[Method], lost: Mapping[int, dict[str, Spread]], limit: float, label: str
) -> Markup:
    kinds = list(dict.fromkeys(kind for of_method in lost.values() for kind in of_method))
    height = 0.75 + 0.17 * len(kinds) * (len(methods) + 0.8)
    axes = plots.panel(size=(plots.NARROW[0], height))
    width = 0.82 / len(methods)
    for place, method in enumerate(methods):  # Others may lack the task.
        offset = (place - (len(methods) - 1) / 2) * width
        for kind, value in lost[method.index].items():
            _bar(axes, kinds.index(kind) + offset, value, method, width)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * limit)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return plots.svg(axes, label)


def _bar(axes: Axes, place: float, value: Spread, method: Method, width: float) -> None:
    axes.barh(place, value.mean, 0.9 * width, color=plots.color(method.color))
    whisker = value.deviation if value.number > 1 else 0.0
    if whisker:
        axes.errorbar(value.mean, place, xerr=whisker, color=plots.color("ink"), linewidth=1)
    axes.annotate(
        number(value.mean),
        (value.mean + whisker, place),
        (3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
    )


def _confusions(method: Method, by_run: Mapping[Path, Errors]) -> dict[str, Any]:
    """The most costly ones of the first run."""
    run = method.runs[0]
    rows = [
        [
            pair["true_name"],
            pair["predicted_name"],
            f"{pair['num_detections']:,}",
            number(pair["cost"], 2),
        ]
        for pair in by_run[run.folder]["confusions"][:_NUM_CONFUSIONS]
    ]
    return {"method": method, "seed": run.seed, "rows": rows}
