"""Sections of the facts: what was run on what, and what the methods differ in."""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from statistics import median

from rankdet.tools.report.markup import UNKNOWN, Section, details, name, paragraph, table
from rankdet.tools.report.method import Method, differing_options
from rankdet.tools.report.run import Run

_FILES = ("config.yaml", "log.txt", "metrics.json")
_MAX_OPTIONS = 40  # that are shown at once
_DURATION = re.compile(r"Total inference time: (?:(\d+) days?, )?(\d+):(\d+):(\d+)")
_MEMORY = re.compile(r"max_mem: (\d+)M")


def facts_section(methods: Sequence[Method], root: Path) -> Section:
    """Times of every run, what they were made with, and what the configs differ in.

    Args:
        methods: of the report.
        root: folder that those of the runs are relative to.
    """
    rows = [[name(method), *_times(run, root)] for method in methods for run in method.runs]
    header = ["", "folder", "seed", "iterations", "training", "per iteration", "evaluation"]
    runs = [run for method in methods for run in method.runs]
    files = [run.folder / file for run in runs for file in _FILES]
    html = (
        table([*header, "started"], rows, "second") + _equipment(runs, root) + _differences(methods)
    )
    return Section("Runs", html, [path for path in files if path.is_file()])


def _times(run: Run, root: Path) -> list[str]:
    times = run.curves.get("time", {})
    return [
        f"<code>{escape(os.path.relpath(run.folder.resolve(), root))}</code>",
        str(run.seed),
        _iterations(run),
        _duration(_training_seconds(times)) if times else UNKNOWN,
        f"{median(times.values()):.3g} s" if times else UNKNOWN,
        _evaluation(run.log),
        _started(run),
    ]


def _equipment(runs: Sequence[Run], root: Path) -> str:
    """A table of what the runs were made with; where they differ, with the runs of each value."""
    facts = [_equipment_of(run) for run in runs]
    rows = []
    for fact in dict.fromkeys(fact for one in facts for fact in one):
        values = [one.get(fact, UNKNOWN) for one in facts]
        rows.append([fact, "<br>".join(_distinct(values, runs, root))])
    return f"<h3>What they were made with</h3>{table(['', ''], rows, 'left')}"


def _distinct(values: list[str], runs: Sequence[Run], root: Path) -> Iterator[str]:
    for value in dict.fromkeys(values):
        folders = [
            escape(os.path.relpath(run.folder.resolve(), root))
            for run, other in zip(runs, values, strict=True)
            if other == value
        ]
        yield value if len(folders) == len(runs) else f"{value} ({', '.join(folders)})"


def _equipment_of(run: Run) -> dict[str, str]:
    """HTML of each fact."""
    facts = {"rankdet": _version(run), "machine": escape(run.device)}
    if run.provenance:
        facts["processes"] = str(run.provenance["num_processes"])
        facts["threads of each"] = str(run.provenance["num_threads"])
        facts["processor cores"] = str(run.provenance["num_cpus"])
    memory = _MEMORY.findall(run.log)
    if memory:
        facts["GPU memory"] = f"{max(map(int, memory)):,} MB"
    return facts | {package: escape(version) for package, version in run.versions.items()}


def _iterations(run: Run) -> str:
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


def _started(run: Run) -> str:
    started = run.provenance.get("started")
    return f"{datetime.fromisoformat(started):%Y-%m-%d %H:%M} UTC" if started else UNKNOWN


def _version(run: Run) -> str:
    if not run.provenance:
        return UNKNOWN
    commit = run.provenance["commit"]
    text = f"<code>{escape(commit[:10])}</code>" if commit else "no commit"
    changes = " with local changes" if run.provenance["has_local_changes"] else ""
    return f"{escape(run.provenance['version'])}, {text}{changes}"


def _differences(methods: Sequence[Method]) -> str:
    if len(methods) == 1:
        return ""
    rows = [
        [f"<code>{escape(option)}</code>", *(f"<code>{escape(value)}</code>" for value in values)]
        for option, values in differing_options(methods).items()
    ]
    shown = table(["", *map(name, methods)], rows[:_MAX_OPTIONS], "left")
    note = "Keys of config.yaml, but for seed and output folder."
    html = paragraph(note, "note") + shown
    if len(rows) > _MAX_OPTIONS:
        rest = table(["", *map(name, methods)], rows[_MAX_OPTIONS:], "left")
        html += details(f"{len(rows) - _MAX_OPTIONS} more", rest)
    return f"<h3>What the configs differ in</h3>{html}"
