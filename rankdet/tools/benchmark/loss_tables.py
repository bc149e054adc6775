"""Results of the ``losses`` benchmark as tables: Markdown that a terminal shows well, and CSV."""

import math
import statistics
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from tabulate import tabulate

from rankdet.tools.benchmark.loss_cells import LOSSES, Cell, Measurement

MIN_SIZE_OF_FIT = 100_000  # Below, the overhead of starting operations dominates.


class Skipped(NamedTuple):
    """A cell that was not run because a repetition was expected to take that long."""

    seconds: float


Results: TypeAlias = dict[Cell, Measurement | Skipped]


def measured(results: Results) -> dict[Cell, Measurement]:
    """The cells that were run.

    Args:
        results: of one device.
    """
    return {c: result for c, result in results.items() if isinstance(result, Measurement)}


def sort_seconds(results: Results) -> dict[tuple[int, float], float]:
    """Median time of ``torch.sort`` over the cells with the same L and percentage of positives.

    Args:
        results: of one device.
    """
    times: dict[tuple[int, float], list[float]] = {}
    for cell, result in measured(results).items():
        times.setdefault((cell.size, cell.percent), []).append(result.sort_seconds)
    return {key: statistics.median(values) for key, values in times.items()}


def growth(times: dict[int, float]) -> float:
    """Exponent of the growth of time with L: least squares on logarithms, from 100K logits up.

    Args:
        times: seconds by L.

    Returns:
        The exponent; NaN if fewer than two sizes are left.
    """
    points = {math.log(size): math.log(t) for size, t in times.items() if size >= MIN_SIZE_OF_FIT}
    if len(points) < 2:
        return math.nan
    return statistics.linear_regression(list(points), list(points.values())).slope


def short(number: int) -> str:
    """10K for 10,000; 5M for 5,000,000.

    Args:
        number: of logits.
    """
    if number >= 1_000_000:
        return f"{number / 1_000_000:g}M"
    return f"{number / 1000:g}K" if number >= 1000 else str(number)


def cost_table(results: Results, loss: str) -> str:
    """Time as a multiple of one sort, and memory: a row per list of logits.

    Args:
        results: of one device.
        loss: key of :data:`LOSSES`.
    """
    of_loss = {cell: result for cell, result in results.items() if cell.loss == loss}
    sorts = sort_seconds(results)
    rows: dict[tuple[int, float], list[str]] = {}
    for cell, result in of_loss.items():
        key = (cell.size, cell.percent)
        head = [short(cell.size), f"{cell.percent:g}", _number(1000 * sorts.get(key, math.nan))]
        rows.setdefault(key, head).extend(_cost(result))
    algorithms = dict.fromkeys(cell.algorithm for cell in of_loss)
    headers = [name for algorithm in algorithms for name in (f"{algorithm}, x sort", "MB")]
    return _table(list(rows.values()), ["L", "% pos.", "sort, ms", *headers])


def growth_table(results: Results) -> str:
    """Exponents of the growth with L, a column per percentage; empty if there are no two sizes.

    Args:
        results: of one device.
    """
    times: dict[str, dict[float, dict[int, float]]] = {}
    for (size, percent), seconds in sort_seconds(results).items():
        times.setdefault("torch.sort", {}).setdefault(percent, {})[size] = seconds
    for cell, result in measured(results).items():
        name = f"{LOSSES[cell.loss].label} {cell.algorithm}"
        times.setdefault(name, {}).setdefault(cell.percent, {})[cell.size] = result.seconds
    percentages = sorted({cell.percent for cell in results})
    rows = [
        [name, *(_exponent(by_percent.get(percent, {})) for percent in percentages)]
        for name, by_percent in times.items()
    ]
    headers = [f"from {short(MIN_SIZE_OF_FIT)} up", *(f"{percent:g} %" for percent in percentages)]
    return _table([row for row in rows if set(row[1:]) != {"-"}], headers)


def csv_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """A header, then a row per cell; skipped cells have nothing but their expected time.

    Args:
        results: of one device.
    """
    yield (
        *("device", "loss", "algorithm", "num_logits", "percent_pos", "num_pos", "sort_seconds"),
        *("seconds", "ratio_q1", "ratio_median", "ratio_q3", "extra_bytes", "num_repetitions"),
        "skipped_expected_seconds",
    )
    for cell, result in results.items():
        if isinstance(result, Skipped):
            yield (*cell, cell.num_pos, *[""] * 7, f"{result.seconds:.1f}")
        else:
            times = [f"{x:.6g}" for x in (result.sort_seconds, result.seconds, *result.ratio)]
            yield (*cell, cell.num_pos, *times, result.extra_bytes, result.num_repetitions, "")


def _cost(result: Measurement | Skipped) -> tuple[str, str]:
    if isinstance(result, Skipped):
        return f"skipped, about {result.seconds:,.0f} s", "-"
    low, middle, high = map(_number, result.ratio)
    return f"{middle} ({low}-{high})", f"{result.extra_bytes / 1e6:.1f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _exponent(times: dict[int, float]) -> str:
    exponent = growth(times)
    return "-" if math.isnan(exponent) else f"{exponent:.2f}"


def _table(rows: list[list[str]], headers: list[str]) -> str:
    if not rows:
        return ""
    alignment = ["right"] * len(headers)
    text: str = tabulate(rows, headers, "pipe", disable_numparse=True, colalign=alignment)
    return text
