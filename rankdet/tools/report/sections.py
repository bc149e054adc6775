"""Collects what the runs have left, computes what is missing, and makes the sections."""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankdet.data.class_stats import image_counts
from rankdet.engine.checkpoint import last_checkpoint
from rankdet.engine.train import dataset_names
from rankdet.losses.calibration import load_statistics
from rankdet.tools.frequency_groups import read_classes
from rankdet.tools.ranking_errors import write_ranking_errors
from rankdet.tools.report.analysis import Analysis
from rankdet.tools.report.bounds import bounds_section
from rankdet.tools.report.classes import classes_section
from rankdet.tools.report.confusion import confusion_section
from rankdet.tools.report.curves import curves_section
from rankdet.tools.report.dataset import TestSet, read_test_set
from rankdet.tools.report.errors import errors_section
from rankdet.tools.report.facts import facts_section
from rankdet.tools.report.gallery import gallery_section
from rankdet.tools.report.markup import Section, paragraph
from rankdet.tools.report.method import Method
from rankdet.tools.report.metrics import groups_section, metrics_section
from rankdet.tools.report.reliability import reliability_section
from rankdet.tools.report.run import Run

logger = logging.getLogger(__name__)


def build_sections(methods: Sequence[Method], root: Path) -> list[Section]:
    """All sections of the page; what can't be made says why.

    Args:
        methods: of the report, tested on one data set.
        root: folder that those of the runs are relative to.
    """
    sections = [
        metrics_section(methods),
        groups_section(methods),
        *_attempt("Detections", lambda: _detection_sections(methods)),
        *_attempt("Confusion", lambda: _confusion(methods)),
        *_attempt("Ranking theory", lambda: _bounds(methods)),
        curves_section(methods),
        facts_section(methods, root),
    ]
    return [section for section in sections if section is not None]


def _attempt(title: str, make: Callable[[], Iterable[Section]]) -> list[Section]:
    try:
        return list(make())
    except (OSError, ValueError) as error:
        logger.warning("%s: %s", title, error)
        return [Section(title, paragraph(f"Not available: {error}", "note"))]


def _detection_sections(methods: Sequence[Method]) -> list[Section]:
    """What is computed from the detections: classes, errors, score calibration, gallery."""
    first = methods[0].runs[0]
    test_set = read_test_set(first.dataset, dataset_names(first.config, "train"))
    files = {}
    for method in methods:
        for run in method.runs:
            logger.info("Reading the analysis of %s", run.folder)
            analysis = Analysis(run, test_set)
            files[run.folder] = _files(analysis, with_examples=run is method.runs[0])
            analysis.close()
    return [
        classes_section(
            methods,
            {folder: _read(paths["classes"]) for folder, paths in files.items()},
            test_set.image_counts,
            [paths["classes"] for paths in files.values()],
        ),
        errors_section(methods, *_by_task(files, "errors")),
        reliability_section(methods, *_by_task(files, "calibration")),
        *_attempt("Gallery", lambda: [_gallery(methods, files, test_set)]),
    ]


def _files(analysis: Analysis, with_examples: bool) -> dict[str, Path]:
    """What the sections read, by a name of it."""
    paths = {"classes": analysis.class_scores_path()}
    for task in analysis.tasks:
        paths[f"errors {task}"] = analysis.errors_path(task)
        paths[f"calibration {task}"] = analysis.calibration_path(task)
    if with_examples:
        paths["examples"] = analysis.examples_path()
    return paths


def _by_task(
    files: dict[Path, dict[str, Path]], what: str
) -> tuple[dict[str, dict[Path, Any]], list[Path]]:
    """Contents by task and folder, for the tasks of all runs, and the files."""
    tasks = [
        task
        for task in ("bbox", "segm")
        if all(f"{what} {task}" in paths for paths in files.values())
    ]
    contents = {
        task: {folder: _read(paths[f"{what} {task}"]) for folder, paths in files.items()}
        for task in tasks
    }
    return contents, [paths[f"{what} {task}"] for task in tasks for paths in files.values()]


def _gallery(
    methods: Sequence[Method], files: dict[Path, dict[str, Path]], test_set: TestSet
) -> Section:
    paths = {folder: of_run["examples"] for folder, of_run in files.items() if "examples" in of_run}
    examples = {folder: _read(path) for folder, path in paths.items()}
    return gallery_section(methods, examples, test_set.image_files, list(paths.values()))


def _confusion(methods: Sequence[Method]) -> list[Section]:
    """A section if the statistics of a method's first run were collected."""
    runs = [run for method in methods for run in method.runs]
    paths = {run.folder: run.folder / f"calibration_{run.dataset}.pth" for run in runs}
    paths = {folder: path for folder, path in paths.items() if path.is_file()}
    shown = [method for method in methods if method.runs[0].folder in paths]
    if not shown:
        return []
    train_names = dataset_names(runs[0].config, "train")
    groups = read_classes(runs[0].dataset, train_names).groups
    statistics = {folder: load_statistics(path) for folder, path in paths.items()}
    return [
        confusion_section(
            shown, statistics, groups, image_counts(train_names), list(paths.values())
        )
    ]


def _bounds(methods: Sequence[Method]) -> list[Section]:
    """A section of the first run of each method; it says why some are left out.

    A one-stage model has no proposals, and a run may have lost its weights.
    """
    paths, reasons = {}, []
    for method in methods:
        try:
            paths[method.index] = _ranking_errors(method.runs[0])
        except (OSError, ValueError) as error:
            reasons.append(f"{method.name}: {error}")
    if not paths:
        raise ValueError(" ".join(reasons))
    errors = {index: _read(path) for index, path in paths.items()}
    shown = [method for method in methods if method.index in errors]
    section = bounds_section(shown, errors, list(paths.values()))
    notes = "".join(paragraph(f"Left out: {reason}", "note") for reason in reasons)
    return [replace(section, html=section.html + notes)]


def _ranking_errors(run: Run) -> Path:
    """The file of a run, made anew if it is of other weights or of another data set."""
    path = run.folder / "analysis" / "ranking_errors.json"
    weights = last_checkpoint(str(run.folder))
    if path.is_file():
        known = _read(path)
        # Names, for the folder may have been moved.
        is_current = (
            weights is None
            or not Path(weights).is_file()
            or (
                Path(known["checkpoint"]).name == Path(weights).name
                and path.stat().st_mtime >= Path(weights).stat().st_mtime
            )
        )
        if is_current and known["dataset"] == run.dataset:
            return path
    logger.info("Scoring the proposals of %s", run.folder)
    return write_ranking_errors(run.folder)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
