"""Runs of one method, of equal config except for the seed; and which tasks they have."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import ttest_ind_from_stats

from rankdet.data.frequency_groups import LABELS
from rankdet.tools.report.reported_run import ReportedRun

TASKS = {
    "bbox": "Boxes",
    "segm": "Masks",
    "boundary": "Boundaries",
    "bbox_fixed": "Boxes, Fixed AP",
    "segm_fixed": "Masks, Fixed AP",
    "boundary_fixed": "Boundaries, Fixed AP",
    "bbox_lrp": "Boxes, Localization Recall Precision error",
    "segm_lrp": "Masks, Localization Recall Precision error",
}
ANALYZED_TASKS = ("bbox", "segm")
"""Tasks whose detections are analyzed."""
GROUPS = {"all": "all classes", **LABELS}

_SEED = re.compile(r"[-_/. ]*(?:seed|s)[-_]?\d+$")
_NUM_COLORS = 8
_SIGNIFICANCE_LEVEL = 0.05


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
        index: from 0; decides its color.
        runs: by the seed.
    """

    name: str
    index: int
    runs: list[ReportedRun]

    @property
    def color(self) -> str:
        """CSS variable of its color; the colors repeat after eight methods."""
        return f"m{self.index % _NUM_COLORS}"

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


def is_significant(one: Spread, other: Spread) -> bool:
    """Whether two means differ at the level of 5 %, by Welch's t-test; never for a single seed."""
    if min(one.number, other.number) < 2:
        return False
    if not one.deviation and not other.deviation:
        return one.mean != other.mean
    test = ttest_ind_from_stats(
        *(one.mean, one.deviation, one.number),
        *(other.mean, other.deviation, other.number),
        equal_var=False,
    )
    return bool(test.pvalue < _SIGNIFICANCE_LEVEL)


def group_methods(runs: Sequence[ReportedRun]) -> list[Method]:
    """Put runs of equal config together, in the order of the first run of each.

    Raises:
        ValueError: a run is given twice.
    """
    folders = [run.folder.resolve() for run in runs]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice; give each run once.")
    groups: list[list[ReportedRun]] = []
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


def differing_options(methods: Sequence[Method]) -> dict[str, list[str]]:
    """Keys of the config that methods differ in, to the value of each; "" where it has none."""
    options = [method.runs[0].options for method in methods]
    keys = dict.fromkeys(key for one in options for key in one)
    rows = {key: [str(one.get(key, "")) for one in options] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def with_runs(methods: Sequence[Method], folders: Collection[Path]) -> list[Method]:
    """The methods with those of their runs that are in some folders, if any are."""
    restricted = [
        replace(method, runs=[run for run in method.runs if run.folder in folders])
        for method in methods
    ]
    return [method for method in restricted if method.runs]


def missing_tasks(methods: Sequence[Method]) -> list[str]:
    """Sentences about the runs that lack a task which others have, or about that none has any."""
    runs = [(method, run) for method in methods for run in method.runs]
    sentences = []
    for task in ANALYZED_TASKS:
        lacking = [
            f"{method.name}, seed {run.seed}" for method, run in runs if task not in run.results
        ]
        if lacking and len(lacking) < len(runs):
            sentences.append(
                f"{TASKS[task]} are missing of {'; '.join(lacking)}: results.json has no {task!r}, "
                "because the model does not predict them or the evaluation left them out."
            )
    if not any(task in run.results for task in ANALYZED_TASKS for _, run in runs):
        sentences.append("No run has boxes or masks in results.json; the evaluation writes it.")
    return sentences


def _name(group: list[ReportedRun], folders: list[Path]) -> str:
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
