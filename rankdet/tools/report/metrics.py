"""Sections of the metrics: the table with deltas and spread, and AP by group of classes."""

from collections.abc import Sequence
from html import escape

from rankdet.data.frequency_groups import LABELS
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
from rankdet.tools.report.method import Method, Spread, have_seeds, is_significant
from rankdet.tools.report.tasks import TASKS
from rankdet.tools.report.theme import method_colour

_GROUPS = {"": "all", **LABELS}  # letter behind AP
_LEAST_WIDTH_OF_VALUES = 0.25  # of a bar: of three methods
_IS_ERROR = "oLRP"  # how the names of metrics start that are better the lower they are
_SCALE = {"score_iou_correlation": 2}  # digits of what is no percentage
_SHORT = {"score_iou_correlation": "score-IoU correlation"}


def metrics_section(methods: Sequence[Method]) -> Section:
    """All metrics of results.json, a table for each task."""
    parts = [paragraph(_explanation(methods), "lede")]
    for task in _tasks(methods):
        parts.append(f"<h3>{escape(TASKS.get(task, task))}</h3>")
        parts.append(_table(methods, task))
    if len(parts) == 1:
        parts.append(paragraph(_no_metrics(methods)))
    return Section("Metrics", "".join(parts), _results_files(methods))


def groups_section(methods: Sequence[Method]) -> Section | None:
    """AP of rare, common and frequent classes as bars; None without such metrics."""
    whiskers = "; whiskers: standard deviation" if have_seeds(methods) else ""
    figures = [
        figure(_group_bars(methods, task), TASKS[task], f"AP{whiskers}")
        for task in ("bbox", "segm", "boundary")
        if any(len(_group_spreads(method, task)) > 1 for method in methods)
    ]
    if not figures:
        return None
    return Section("AP by group", key(methods) + grid(figures), _results_files(methods))


def delta(value: Spread, base: Spread, metric: str) -> str:
    """HTML of a difference, in colour if chance alone would rarely make it (Welch's t-test)."""
    difference = value.mean - base.mean
    text = f"{difference:+.{_SCALE.get(metric, 1)}f}"
    text = text.replace("-", "&minus;") if float(text) else text[1:]
    if not is_significant(value, base):
        return f"<small>{text}</small>"
    is_better = (difference > 0) != metric.startswith(_IS_ERROR)
    return f'<small class="{"good" if is_better else "bad"}">{text}</small>'


def _explanation(methods: Sequence[Method]) -> str:
    text = "Per cent, but for correlations. oLRP and its parts are errors: lower is better. "
    if have_seeds(methods):
        text += "Mean ± standard deviation over seeds. "
    if len(methods) > 1:
        text += (
            f"Small print: difference from {methods[0].name}; green (better) or red (worse) where "
            "Welch's t-test over seeds finds it significant at 5 %, grey where it may be chance, "
            "as always with one seed. "
        )
    return text


def _no_metrics(methods: Sequence[Method]) -> str:
    files = [run.folder / "results.json" for method in methods for run in method.runs]
    if any(file.is_file() for file in files):
        return "No run has metrics: results.json is empty, as for data sets without annotations."
    return "No run has results.json; the evaluation writes it."


def _tasks(methods: Sequence[Method]) -> list[str]:
    found = dict.fromkeys(task for m in methods for run in m.runs for task in run.results)
    return sorted(found, key=lambda task: list(TASKS).index(task) if task in TASKS else len(TASKS))


def _table(methods: Sequence[Method], task: str) -> str:
    metrics = list(
        dict.fromkeys(k for m in methods for run in m.runs for k in run.results.get(task, {}))
    )
    # Undefined for this data set, such as APl where no object is large.
    metrics = [metric for metric in metrics if any(m.spread(task, metric) for m in methods)]
    header = ["", "seeds", *(escape(_SHORT.get(metric, metric)) for metric in metrics)]
    return table(header, [_row(method, methods[0], task, metrics) for method in methods])


def _row(method: Method, base: Method, task: str, metrics: list[str]) -> list[str]:
    cells = [name(method), str(sum(task in run.results for run in method.runs))]
    for metric in metrics:
        value, other = method.spread(task, metric), base.spread(task, metric)
        cell = with_spread(value, _SCALE.get(metric, 1))
        if value and other and method is not base:
            cell += delta(value, other, metric)
        cells.append(cell)
    return cells


def _group_spreads(method: Method, task: str) -> dict[str, Spread]:
    spreads = {letter: method.spread(task, f"AP{letter}") for letter in _GROUPS}
    return {letter: value for letter, value in spreads.items() if value}


def _group_bars(methods: Sequence[Method], task: str) -> str:
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
    axes: plots.Axes, places: list[float], values: list[Spread], method: Method, width: float
) -> None:
    """Draw upright bars of a method with whiskers, and where there is room the values."""
    colour = plots.colour(method_colour(method.index))
    heights = [value.mean for value in values]
    axes.bar(places, heights, 0.92 * width, color=colour)
    for place, value in zip(places, values, strict=True):
        whisker = value.deviation if value.number > 1 else 0.0
        if whisker:
            axes.errorbar(place, value.mean, whisker, color=plots.colour("ink"), linewidth=1)
        if width > _LEAST_WIDTH_OF_VALUES:
            axes.annotate(
                f"{value.mean:.1f}",
                (place, value.mean + whisker),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )


def _results_files(methods: Sequence[Method]) -> list:
    return [run.folder / "results.json" for m in methods for run in m.runs if run.results]
