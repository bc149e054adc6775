"""Targets for the cost of the exact ranking losses on two CPU cores, and whether they are met."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from tabulate import tabulate

from rankdet.tools.benchmark.loss_cells import LOSSES
from rankdet.tools.benchmark.loss_results import Results, growth, measured, short


class Target(NamedTuple):
    """An upper limit of a figure of the exact losses; sizes and percentages are inclusive."""

    figure: str
    losses: tuple[str, ...]
    limit: float
    percentages: tuple[float, float] = (0, 100)
    sizes: tuple[float, float] = (0, math.inf)


TARGETS = (
    Target("x sort", ("ap", "alrp"), 1.3, percentages=(0, 1), sizes=(100_000, math.inf)),
    Target("x sort", ("ap", "alrp"), 2.0, percentages=(1.001, 5), sizes=(100_000, math.inf)),
    Target("x sort", ("rank_sort",), 2.0, percentages=(0, 1), sizes=(100_000, math.inf)),
    Target("x sort", ("rank_sort",), 4.0, percentages=(1.001, 5), sizes=(100_000, math.inf)),
    Target("x bucketed", ("ap", "rank_sort"), 1.0, sizes=(10_000, math.inf)),
    Target("MB beyond the inputs", ("rank_sort",), 1000, sizes=(0, 1_000_000)),
    Target("growth exponent", tuple(LOSSES), 1.1),
)


class _Value(NamedTuple):
    figure: str
    loss: str
    size: float
    percent: float
    value: float

    @property
    def place(self) -> str:
        at_size = f"{short(int(self.size))}, " if math.isfinite(self.size) else ""
        return f"{LOSSES[self.loss].label} at {at_size}{self.percent:g} %"


def check(results: Results) -> str:
    """Table of the targets that the results can tell about.

    Args:
        results: of one device.
    """
    values = [*_values_of_cells(results), *_growth_values(results)]
    rows = [_row(target, [v for v in values if _is_about(target, v)]) for target in TARGETS]
    headers = ("", "exact", "target", "positives", "cells that meet it", "worst", "where")
    return tabulate([row for row in rows if row], headers, "pipe", disable_numparse=True)


def _row(target: Target, values: list[_Value]) -> tuple[str, ...]:
    if not values:
        return ()
    num_met = sum(value.value <= target.limit for value in values)
    worst = max(values, key=lambda value: value.value / target.limit)
    low, high = target.percentages
    return (
        "pass" if num_met == len(values) else "FAIL",
        ", ".join(LOSSES[loss].label for loss in target.losses),
        f"<= {target.limit:g} {target.figure}",
        "any" if high == 100 else f"{'above 1, ' if low else ''}up to {high:g} %",
        f"{num_met} of {len(values)}",
        f"{worst.value:.3g}",
        worst.place,
    )


def _is_about(target: Target, value: _Value) -> bool:
    return (
        target.figure == value.figure
        and value.loss in target.losses
        and target.percentages[0] <= value.percent <= target.percentages[1]
        and (target.sizes[0] <= value.size <= target.sizes[1])
    )


def _values_of_cells(results: Results) -> Iterator[_Value]:
    cells = measured(results)
    for cell, result in cells.items():
        if cell.algorithm == "exact":
            place = (cell.loss, cell.size, cell.percent)
            yield _Value("x sort", *place, result.ratio[1])
            yield _Value("MB beyond the inputs", *place, result.extra_bytes / 1e6)
            bucketed = cells.get(cell._replace(algorithm="bucketed"))
            if bucketed:
                yield _Value("x bucketed", *place, result.ratio[1] / bucketed.ratio[1])


def _growth_values(results: Results) -> Iterator[_Value]:
    times: dict[tuple[str, float], dict[int, float]] = {}
    for cell, result in measured(results).items():
        if cell.algorithm == "exact":
            times.setdefault((cell.loss, cell.percent), {})[cell.size] = result.seconds
    for (loss, percent), by_size in times.items():
        exponent = growth(by_size)
        if not math.isnan(exponent):
            yield _Value("growth exponent", loss, math.inf, percent, exponent)
