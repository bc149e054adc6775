"""Sections of the metrics: the table with deltas and spread, and AP by group of classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes

from rankdet.data.frequency_groups import LABELS
from rankdet.tools.report import plots
from rankdet.tools.report.methods import TASKS, Method, Spread, have_seeds, is_significant
from rankdet.tools.report.page import Picture, Section, number, with_spread

_GROUPS = {"": "all", **LABELS}  # letter behind AP
_LEAST_WIDTH_OF_VALUES = 0.25  # of a bar: of three methods
_IS_ERROR = "oLRP"  # how the names of metrics start that are better the lower they are
_DIGITS = {"score_iou_correlation": 2}  # of what is no percentage
_SHORT_NAMES = {"score_iou_correlation": "score-IoU correlation"}


class Cell(NamedTuple):
    """A value of the table.

    Attributes:
        text: mean and spread.
        difference: from the first method; empty for that method itself.
        style: CSS class of the difference.
    """

    text: str
    difference: str = ""
    style: str = ""


def metrics_section(methods: Sequence[Method]) -> Section:
    """All metrics of results.json, a table for each task."""
    content = {
        "methods": methods,
        "have_seeds": have_seeds(methods),
        "tables": [_table(methods, task) for task in _tasks(methods)],
        "no_metrics": _no_metrics(methods),
    }
    return Section("Metrics", "metrics", content, _results_files(methods))


def groups_section(methods: Sequence[Method]) -> Section | None:
    """AP of rare, common and frequent classes as bars; None without such metrics."""
    whiskers = "; whiskers: standard deviation" if have_seeds(methods) else ""
    pictures = [
        Picture(_group_bars(methods, task), TASKS[task], f"AP{whiskers}")
        for task in ("bbox", "segm", "boundary")
        if any(len(_group_spreads(method, task)) > 1 for method in methods)
    ]
    if not pictures:
        return None
    content = {"methods": methods, "all": pictures}
    return Section("AP by group", "groups", content, _results_files(methods))


def with_difference(value: Spread, base: Spread, metric: str) -> Cell:
    """A value and how it differs, in color if chance would rarely do that (Welch's t-test)."""
    digits = _DIGITS.get(metric, 1)
    difference = value.mean - base.mean
    text = number(difference, digits)
    if difference > 0 and float(f"{difference:.{digits}f}"):
        text = f"+{text}"
    style = ""
    if is_significant(value, base):
        style = "good" if (difference > 0) != metric.startswith(_IS_ERROR) else "bad"
    return Cell(with_spread(value, digits), text, style)


def _no_metrics(methods: Sequence[Method]) -> str:
    files = [run.folder / "results.json" for method in methods for run in method.runs]
    if any(file.is_file() for file in files):
        return "No run has metrics: results.json is empty, as for data sets without annotations."
    return "No run has results.json; the evaluation writes it."


def _tasks(methods: Sequence[Method]) -> list[str]:
    found = dict.fromkeys(task for m in methods for run in m.runs for task in run.results)
    return sorted(found, key=lambda task: list(TASKS).index(task) if task in TASKS else len(TASKS))


def _table(methods: Sequence[Method], task: str) -> dict[str, object]:
    metrics = list(
        dict.fromkeys(k for m in methods for run in m.runs for k in run.results.get(task, {}))
    )
    # Undefined for this data set, such as APl where no object is large.
    metrics = [metric for metric in metrics if any(m.spread(task, metric) for m in methods)]
    return {
        "title": TASKS.get(task, task),
        "header": ["", "seeds", *(_SHORT_NAMES.get(metric, metric) for metric in metrics)],
        "rows": [_row(method, methods[0], task, metrics) for method in methods],
    }


def _row(method: Method, base: Method, task: str, metrics: list[str]) -> list[Method | Cell]:
    cells: list[Method | Cell] = [
        method,
        Cell(str(sum(task in run.results for run in method.runs))),
    ]
    for metric in metrics:
        value, other = method.spread(task, metric), base.spread(task, metric)
        if value and other and method is not base:
            cells.append(with_difference(value, other, metric))
        else:
            cells.append(Cell(with_spread(value, _DIGITS.get(metric, 1))))
    return cells


def _group_spreads(method: Method, task: str) -> dict[str, Spread]:
    spreads = {letter: method.spread(task, f"AP{letter}") for letter in _GROUPS}
    return {letter: value for letter, value in spreads.items() if value}


def _group_bars(methods: Sequence[Method], task: str) -> Markup:
    axes = plots.panel()
    methods = [method for method in methods if _group_spreads(method, task)]
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        spreads = _group_spreads(method, task)
        offset = (place - (len(methods) - 1) / 2) * width
        places = [list(_GROUPS).index(letter) + offset for letter in spreads]
        bars(axes, places, list(spreads.values()), method, width)
    axes.set_xticks(range(len(_GROUPS)), list(_GROUPS.values()))
    axes.grid(axis="x", visible=False)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
    return plots.svg(axes, f"AP by group of classes, {TASKS[task].lower()}")


def bars(
    axes: Axes, places: list[float], values: list[Spread], method: Method, width: float
) -> None:
    """Draw upright bars of a method with whiskers, and where there is room the values."""
    color = plots.color(method.color)
    heights = [value.mean for value in values]
    axes.bar(places, heights, 0.92 * width, color=color)
    for place, value in zip(places, values, strict=True):
        whisker = value.deviation if value.number > 1 else 0.0
        if whisker:
            axes.errorbar(place, value.mean, whisker, color=plots.color("ink"), linewidth=1)
        if width > _LEAST_WIDTH_OF_VALUES:
            axes.annotate(
                f"{value.mean:.1f}",
                (place, value.mean + whisker),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )


def _results_files(methods: Sequence[Method]) -> list[Path]:
    return [run.folder / "results.json" for m in methods for run in m.runs if run.results]
