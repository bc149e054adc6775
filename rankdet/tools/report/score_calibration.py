"""Section of the calibration of scores: precision against score, by group of classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rankdet.tools.report import plots
from rankdet.tools.report.methods import GROUPS, TASKS, Method, spread, with_runs
from rankdet.tools.report.page import Picture, Section, with_spread

Calibration = Mapping[str, Any]
"""What :func:`rankdet.evaluation.reliability.score_calibration` returns."""

_MIN_COUNT = 20  # detections of a bin that is drawn filled


def score_calibration_section(
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
    content = {
        "methods": methods,
        "min_count": _MIN_COUNT,
        "tasks": [
            _task(with_runs(methods, by_run), by_run, task) for task, by_run in calibrations.items()
        ],
    }
    return Section("Score calibration", "score_calibration", content, list(sources))


def _task(
    methods: Sequence[Method], by_run: Mapping[Path, Calibration], task: str
) -> dict[str, Any]:
    groups = [g for g in GROUPS if any(g in one["groups"] for one in by_run.values())]
    return {
        "title": TASKS[task],
        "is_folded": task != "bbox",
        "figures": [
            Picture(_panel(methods, by_run, group, task), GROUPS[group].capitalize())
            for group in groups
        ],
        "header": ["ECE", *(GROUPS[group] for group in groups)],
        "rows": [_errors(method, by_run, groups) for method in methods],
    }


def _panel(
    methods: Sequence[Method], by_run: Mapping[Path, Calibration], group: str, task: str
) -> Markup:
    axes = plots.panel("mean score", "precision", plots.NARROW)
    axes.plot([0, 1], [0, 1], color=plots.color("muted"), linewidth=0.8, dashes=(4, 3))
    for method in methods:
        color = plots.color(method.color)
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
            axes.plot(scores, precisions, color=color, linewidth=1.3)
            filled = [color if num >= _MIN_COUNT else plots.color("card") for num in counts]
            axes.scatter(scores, precisions, 16, filled, edgecolors=color, zorder=3)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return plots.svg(axes, f"Precision by score, {GROUPS[group]}, {TASKS[task]}")


def _errors(
    method: Method, by_run: Mapping[Path, Calibration], groups: list[str]
) -> list[Method | str]:
    of_runs = [by_run[run.folder]["groups"] for run in method.runs]
    errors = [spread(one[group]["ece"] for one in of_runs) for group in groups]
    return [method, *(with_spread(error, 3) for error in errors)]
