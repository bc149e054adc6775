"""What a run of the `losses` benchmark found, and figures that follow from it."""

import math
import statistics
from typing import NamedTuple, TypeAlias

from rankdet.tools.benchmark.loss_cells import Cell, Measurement

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
    """Median time of `torch.sort` over the cells with the same L and percentage of positives.

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
