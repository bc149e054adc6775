"""The Markdown table of a comparison."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from rankdet.data.atomic_file import write_atomically
from rankdet.tools.compare.runs import Run
from rankdet.tools.run_folder import read_results

Metrics = dict[str, dict[str, float | None]]


def comparison_tables(results: Mapping[str, Sequence[Metrics]]) -> str:
    """Write one Markdown table per task.

    Args:
        results: the contents of ``results.json``, for each seed of each method.

    Returns:
        Mean and, from two seeds on, sample standard deviation (by n - 1) of every metric. A metric
        that a run lacks is a dash; one that all lack, because its classes or sizes are not in the
        data, is left out. Without any metric, a sentence says so.
    """
    tasks = _in_order(task for runs in results.values() for run in runs for task in run)
    if not tasks:
        return "No run has metrics: the data set that they were tested on has no annotations."
    return "\n\n".join(f"## {task}\n\n{_table(task, results)}" for task in tasks)


def write_comparison(runs: Sequence[Run], path: Path) -> str:
    """Write the tables of finished runs into a file, and give its text.

    Args:
        runs: of all methods.
        path: Markdown file.

    Returns:
        Its text.
    """
    results = {
        method: [read_results(run.folder) for run in runs if run.method == method]
        for method in _in_order(run.method for run in runs)
    }
    files = "\n".join(f"- {run.name}: {run.results_file}" for run in runs)
    text = (
        f"# Comparison\n\n{comparison_tables(results)}\n\n"
        "Mean ± standard deviation over seeds; per cent, except for correlations. The numbers are "
        f"those of\n\n{files}\n"
    )
    write_atomically(path, text)
    return text


def _table(task: str, results: Mapping[str, Sequence[Metrics]]) -> str:
    runs_of = {m: [run[task] for run in runs if task in run] for m, runs in results.items()}
    metrics = _in_order(
        name
        for runs in runs_of.values()
        for run in runs
        for name, value in run.items()
        if value is not None
    )
    rows = [
        [method, len(runs), *(_cell(name, [run.get(name) for run in runs]) for name in metrics)]
        for method, runs in runs_of.items()
    ]
    header = ["config", "seeds", *metrics]
    table: str = tabulate(rows, header, tablefmt="pipe", disable_numparse=True)
    return table


def _cell(metric: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "-"
    digits = 2 if "correlation" in metric else 1
    mean = f"{statistics.mean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.{digits}f}"


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
