"""Sections of the trainings: curves; and what was run on what, and what the methods differ in."""

import os
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from markupsafe import Markup

from rankdet.tools.report import plots
from rankdet.tools.report.methods import Method, differing_options
from rankdet.tools.report.page import UNKNOWN, Picture, Section
from rankdet.tools.report.reported_run import ReportedRun

_LOSS = re.compile(r"^(total_loss|loss_\w+)$")
_OTHERS = {"roi_head/pairwise_bias": "pairwise bias (PwB)", "lr": "learning rate"}
_VALIDATION = {"bbox/AP": "validation, box AP", "segm/AP": "validation, mask AP"}
_MAX_QUANTILE = 0.99  # of the values of a curve that the axis shows
_FILES = ("config.yaml", "log.txt", "metrics.json")
_MAX_OPTIONS = 40  # that are shown at once
_DURATION = re.compile(r"Total inference time: (?:(\d+) days?, )?(\d+):(\d+):(\d+)")
_MEMORY = re.compile(r"max_mem: (\d+)M")

Fact = str | dict[str, Any]
"""A text, or ``version``, ``commit`` and ``has_local_changes`` of rankdet."""


def curves_section(methods: Sequence[Method]) -> Section | None:
    """Each loss, and what else is logged; None without metrics.json."""
    names = dict.fromkeys(name for m in methods for run in m.runs for name in run.curves)
    if not names:
        return None
    losses = sorted(filter(_LOSS.match, names), key=lambda name: (name != "total_loss", name))
    captions = {name: name for name in losses}
    captions |= {name: text for name, text in _OTHERS.items() if name in names}
    captions |= {n: text for n, text in _VALIDATION.items() if _num_evaluations(methods, n) > 1}
    pictures = [Picture(_panel(methods, name), text) for name, text in captions.items()]
    sources = [run.folder / "metrics.json" for m in methods for run in m.runs if run.curves]
    content = {"methods": methods, "all": pictures}
    return Section("Training curves", "training_curves", content, sources)


def _num_evaluations(methods: Sequence[Method], name: str) -> int:
    return max(len(run.curves.get(name, {})) for m in methods for run in m.runs)


def _panel(methods: Sequence[Method], name: str) -> Markup:
    axes = plots.panel("iteration")
    shown: list[float] = []
    for method in methods:
        color = plots.color(method.color)
        for run in method.runs:
            curve = run.curves.get(name, {})
            axes.plot(list(curve), list(curve.values()), color=color, linewidth=1.3, alpha=0.85)
            shown += [value for value in curve.values() if value == value]
    if shown:
        # The first iterations would squash everything else.
        top = float(np.quantile(shown, _MAX_QUANTILE)) if _LOSS.match(name) else max(shown)
        low = min(0.0, *shown) if len(shown) > 1 else 0.0
        axes.set_ylim(low, 1.05 * top or 1.0)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    return plots.svg(axes, f"Curve of {name}")


def runs_section(methods: Sequence[Method], root: Path) -> Section:
    """Times of every run, what they were made with, and what the configs differ in.

    Args:
        methods: of the report.
        root: folder that those of the runs are relative to.
    """
    runs = [run for method in methods for run in method.runs]
    header = ["", "folder", "seed", "iterations", "training", "per iteration", "evaluation"]
    content = {
        "methods": methods,
        "header": [*header, "started"],
        "rows": [[method, *_times(run, root)] for method in methods for run in method.runs],
        "equipment": _equipment(runs, root),
        "differences": list(differing_options(methods).items()),
        "num_shown": _MAX_OPTIONS,
    }
    files = [run.folder / file for run in runs for file in _FILES]
    return Section("Runs", "runs", content, [path for path in files if path.is_file()])


def _times(run: ReportedRun, root: Path) -> list[Path | str]:
    times = run.curves.get("time", {})
    return [
        _relative(run, root),
        str(run.seed),
        _iterations(run),
        _duration(_training_seconds(times)) if times else UNKNOWN,
        f"{median(times.values()):.3g} s" if times else UNKNOWN,
        _evaluation(run.log),
        _started(run),
    ]


def _relative(run: ReportedRun, root: Path) -> Path:
    return Path(os.path.relpath(run.folder.resolve(), root))


def _equipment(runs: Sequence[ReportedRun], root: Path) -> list[list[Any]]:
    """What the runs were made with; where they differ, with the runs of each value."""
    facts = [_equipment_of(run) for run in runs]
    names = dict.fromkeys(fact for one in facts for fact in one)
    return [
        [name, _distinct([one.get(name, UNKNOWN) for one in facts], runs, root)] for name in names
    ]


def _distinct(values: list[Fact], runs: Sequence[ReportedRun], root: Path) -> list[Any]:
    """Each value once, with the folders of its runs unless it is that of all."""
    found = []
    for index, value in enumerate(values):
        if values.index(value) == index:
            same = [run for run, other in zip(runs, values, strict=True) if other == value]
            folders = [str(_relative(run, root)) for run in same]
            found.append((value, folders if len(same) < len(runs) else []))
    return found


def _equipment_of(run: ReportedRun) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"rankdet": _version(run), "machine": run.device}
    if run.provenance:
        facts["processes"] = str(run.provenance["num_processes"])
        facts["threads of each"] = str(run.provenance["num_threads"])
        facts["processor cores"] = str(run.provenance["num_cpus"])
    memory = _MEMORY.findall(run.log)
    if memory:
        facts["GPU memory"] = f"{max(map(int, memory)):,} MB"
    return facts | run.versions


def _iterations(run: ReportedRun) -> str:
    planned = int(run.config.train.max_iter)
    done = max(run.curves.get("total_loss", {}), default=-1) + 1
    return f"{planned:,}" if done == planned else f"{done:,} of {planned:,}"


def _training_seconds(times: dict[int, float]) -> float:
    """Sum over iterations of their logged time, which holds for those since the last line."""
    ends = [iteration + 1 for iteration in times]
    starts = [0, *ends[:-1]]
    return sum((e - s) * t for s, e, t in zip(starts, ends, times.values(), strict=True))


def _evaluation(log: str) -> str:
    found = _DURATION.findall(log)
    if not found:
        return UNKNOWN
    days, hours, minutes, seconds = (int(part or 0) for part in found[-1])
    return _duration(timedelta(days, seconds, 0, 0, minutes, hours).total_seconds())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _started(run: ReportedRun) -> str:
    started = run.provenance.get("started")
    return f"{datetime.fromisoformat(started):%Y-%m-%d %H:%M} UTC" if started else UNKNOWN


def _version(run: ReportedRun) -> Fact:
    if not run.provenance:
        return UNKNOWN
    commit = run.provenance["commit"]
    return {
        "version": run.provenance["version"],
        "commit": commit[:10] if commit else "",
        "has_local_changes": bool(run.provenance["has_local_changes"]),
    }
