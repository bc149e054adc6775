"""Section of the calibration of scores: precision against score, by group of classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rankdet.tools.report import plots
from rankdet.tools.report.markup import (
    Section,
    figure,
    grid,
    key,
    name,
    paragraph,
    table,
    with_spread,
)
from rankdet.tools.report.method import Method, spread
from rankdet.tools.report.tasks import GROUPS, TASKS, task_parts
from rankdet.tools.report.theme import method_colour

Calibration = Mapping[str, Any]
"""What :func:`rankdet.evaluation.reliability.score_calibration` returns."""

_MIN_COUNT = 20  # detections of a bin that is drawn filled
_EXPLANATION = (
    "Detections by score: the share that finds an object at IoU 0.5. On the diagonal a score is "
    "that probability; below it, scores are too high. One line for each run. Hollow: bins of fewer "
    f"than {_MIN_COUNT} detections. ECE, the expected calibration error, is the mean distance from "
    "the diagonal, by detections, most of which have low scores."
)


def reliability_section(
    methods: Sequence[Method],
    calibrations: Mapping[str, Mapping[Path, Calibration]],
    sources: Sequence[Path],
) -> Section:
    """Reliability diagrams by group and a table of the calibration errors, per task.

    Args:
        methods: of the report.
        calibrations: task to the folder of the run to its calibration.
        sources: files of the calibrations.
    """
    html = paragraph(_EXPLANATION, "lede") + key(methods) + task_parts(methods, calibrations, _task)
    return Section("Score calibration", html, list(sources))


def _task(methods: Sequence[Method], by_run: Mapping[Path, Calibration], task: str) -> str:
    groups = [g for g in GROUPS if any(g in one["groups"] for one in by_run.values())]
    figures = [
        figure(_panel(methods, by_run, group, task), GROUPS[group].capitalize()) for group in groups
    ]
    return grid(figures, narrow=True) + _errors(methods, by_run, groups)


def _panel(
    methods: Sequence[Method], by_run: Mapping[Path, Calibration], group: str, task: str
) -> str:
    axes = plots.panel("mean score", "precision", plots.NARROW)
    axes.plot([0, 1], [0, 1], color=plots.colour("muted"), linewidth=0.8, dashes=(4, 3))
    for method in methods:
        colour = plots.colour(method_colour(method.index))
        for run in method.runs:
            bins = by_run[run.folder]["groups"][group]
            points = [
                (score, precision, num)
                for score, precision, num in zip(
                    bins["mean_score"], bins["precision"], bins["count"], strict=True
                )
                if num
            ]
            if not points:
                continue
            scores, precisions, counts = zip(*points, strict=True)
            axes.plot(scores, precisions, color=colour, linewidth=1.3)
            filled = [colour if num >= _MIN_COUNT else plots.colour("card") for num in counts]
            axes.scatter(scores, precisions, 16, filled, edgecolors=colour, zorder=3)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return plots.svg(axes, f"Precision by score, {GROUPS[group]}, {TASKS[task]}")


def _errors(
    methods: Sequence[Method], by_run: Mapping[Path, Calibration], groups: list[str]
) -> str:
    rows = []
    for method in methods:
        of_runs = [by_run[run.folder]["groups"] for run in method.runs]
        errors = [spread(one[group]["ece"] for one in of_runs) for group in groups]
        rows.append([name(method), *(with_spread(error, 3) for error in errors)])
    return table(["ECE", *(GROUPS[group] for group in groups)], rows)
