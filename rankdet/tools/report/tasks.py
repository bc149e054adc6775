"""What sections about boxes and masks share: names, and which runs have which."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from rankdet.data.frequency_groups import LABELS
from rankdet.tools.report.markup import details
from rankdet.tools.report.method import Method

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
ANALYSED = ("bbox", "segm")
"""Tasks that detections are analysed for."""
GROUPS = {"all": "all classes", **LABELS}

ByRun = Mapping[Path, Any]
"""By the folder of the run."""


def with_runs(methods: Sequence[Method], folders: Collection[Path]) -> list[Method]:
    """The methods with those of their runs that are in some folders, if any are."""
    restricted = [
        replace(method, runs=[run for run in method.runs if run.folder in folders])
        for method in methods
    ]
    return [method for method in restricted if method.runs]


def task_parts(
    methods: Sequence[Method],
    contents: Mapping[str, ByRun],
    make: Callable[[Sequence[Method], ByRun, str], str],
) -> str:
    """HTML for each task: boxes under a heading, others folded away.

    Args:
        methods: of the report.
        contents: task to what there is of its runs.
        make: makes the HTML of a task, from the methods that have it, its contents and its name.
    """
    parts = []
    for task, by_run in contents.items():
        html, title = make(with_runs(methods, by_run), by_run, task), escape(TASKS[task])
        parts.append(f"<h3>{title}</h3>{html}" if task == "bbox" else details(title, html))
    return "".join(parts)


def missing_tasks(methods: Sequence[Method]) -> list[str]:
    """Sentences about the runs that lack a task which others have, or about that none has any."""
    runs = [(method, run) for method in methods for run in method.runs]
    sentences = []
    for task in ANALYSED:
        lacking = [
            f"{method.name}, seed {run.seed}" for method, run in runs if task not in run.results
        ]
        if lacking and len(lacking) < len(runs):
            sentences.append(
                f"{TASKS[task]} are missing of {'; '.join(lacking)}: results.json has no {task!r}, "
                "because the model does not predict them or the evaluation left them out."
            )
    if not any(task in run.results for task in ANALYSED for _, run in runs):
        sentences.append("No run has boxes or masks in results.json; the evaluation writes it.")
    return sentences
