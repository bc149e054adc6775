"""Runs of one method: of equal config but for the seed and the output folder."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from rankdet.tools.report.run import Run

_SEED = re.compile(r"[-_/. ]*(?:seed|s)[-_]?\d+$")


@dataclass(frozen=True)
class Spread:
    """Mean over seeds and sample standard deviation; nan deviation of a single seed."""

    mean: float
    deviation: float
    number: int


@dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but the seed.

    Attributes:
        name: unique in the report.
        index: from 0; decides its colour.
        runs: by the seed.
    """

    name: str
    index: int
    runs: list[Run]

    def spread(self, task: str, metric: str) -> Spread | None:
        """Of a metric in results.json; None: no run has it."""
        return spread(run.results.get(task, {}).get(metric) for run in self.runs)


def have_seeds(methods: Iterable[Method]) -> bool:
    """Whether a method has several runs, so that there are means and deviations."""
    return any(len(method.runs) > 1 for method in methods)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Summarize what is defined among some values; None: nothing."""
    known = [value for value in values if value is not None and value == value]
    if not known:
        return None
    return Spread(mean(known), stdev(known) if len(known) > 1 else float("nan"), len(known))


# Two-sided 5 % quantiles of Student's t distribution, by degrees of freedom from 1.
_CRITICAL = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


def is_significant(one: Spread, other: Spread) -> bool:
    """Whether two means differ at the level of 5 %, by Welch's t-test; never for a single seed."""
    if min(one.number, other.number) < 2:
        return False
    variances = [spread.deviation**2 / spread.number for spread in (one, other)]
    if not sum(variances):
        return one.mean != other.mean
    weights = [
        variance**2 / (spread.number - 1)
        for variance, spread in zip(variances, (one, other), strict=True)
    ]
    freedom = sum(variances) ** 2 / sum(weights)
    critical = _CRITICAL[min(int(freedom + 1e-9), len(_CRITICAL)) - 1]
    return abs(one.mean - other.mean) > critical * sum(variances) ** 0.5


def group_methods(runs: Sequence[Run]) -> list[Method]:
    """Put runs of equal config together, in the order of the first run of each.

    Raises:
        ValueError: a run is given twice.
    """
    folders = [run.folder.resolve() for run in runs]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice; give each run once.")
    groups: list[list[Run]] = []
    for run in runs:
        same = (group for group in groups if group[0].options == run.options)
        group = next(same, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    names = _unique([_name(group, folders) for group in groups])
    return [
        Method(name, index, sorted(group, key=lambda run: run.seed))
        for index, (name, group) in enumerate(zip(names, groups, strict=True))
    ]


def _name(group: list[Run], folders: list[Path]) -> str:
    """The folder without what says the seed, as seen from where all lie."""
    folder = group[0].folder.resolve()
    root = os.path.commonpath([other.parent for other in folders])
    name = _SEED.sub("", str(folder.relative_to(root)))
    return name or _SEED.sub("", folder.parent.name) or folder.name


def _unique(names: list[str]) -> list[str]:
    return [
        f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def differing_options(methods: Sequence[Method]) -> dict[str, list[str]]:
    """Keys of the config that methods differ in, to the value of each; "" where it has none."""
    options = [method.runs[0].options for method in methods]
    keys = dict.fromkeys(key for one in options for key in one)
    rows = {key: [str(one.get(key, "")) for one in options] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}
