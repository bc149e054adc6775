"""Collects what the runs have left, computes what is missing, and makes the sections."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankdet.data.class_stats import image_counts
from rankdet.data.frequency_groups import read_classes
from rankdet.engine.training import dataset_names
from rankdet.modeling.calibration import load_statistics
from rankdet.tools.json_file import ensure_shape, read_json
from rankdet.tools.ranking_errors import (
    RANKING_ERRORS,
    ranking_errors_path,
    read_kept_errors,
    write_ranking_errors,
)
from rankdet.tools.report.analysis import (
    CALIBRATION,
    CLASS_SCORES,
    ERRORS,
    EXAMPLES,
    Analysis,
    TestSet,
    read_test_set,
)
from rankdet.tools.report.classes import classes_section
from rankdet.tools.report.confusion_matrices import confusion_section
from rankdet.tools.report.errors import errors_section
from rankdet.tools.report.gallery import gallery_section
from rankdet.tools.report.methods import ANALYZED_TASKS, Method, missing_tasks
from rankdet.tools.report.metrics import groups_section, metrics_section
from rankdet.tools.report.page import Section
from rankdet.tools.report.ranking_theory import ranking_theory_section
from rankdet.tools.report.reported_run import ReportedRun
from rankdet.tools.report.score_calibration import score_calibration_section
from rankdet.tools.report.training import curves_section, runs_section

logger = logging.getLogger(__name__)


def build_sections(
    methods: Sequence[Method], root: Path, theory_images: int, trust: Sequence[str] = ()
) -> list[Section]:
    """All sections of the page; what can't be made says why.

    Args:
        methods: of the report, tested on one data set.
        root: folder that those of the runs are relative to.
        theory_images: see :func:`rankdet.tools.report.writer.write_report`.
        trust: as there.
    """
    sections = [
        metrics_section(methods),
        groups_section(methods),
        *_attempt("Detections", lambda: _detection_sections(methods)),
        *_attempt("Confusion", lambda: _confusion(methods)),
        *_attempt("Ranking theory", lambda: _ranking_theory(methods, theory_images, trust)),
        curves_section(methods),
        runs_section(methods, root),
    ]
    return [section for section in sections if section is not None]


def _attempt(title: str, make: Callable[[], Iterable[Section]]) -> list[Section]:
    try:
        return list(make())
    except (OSError, ValueError) as error:
        logger.warning("%s: %s", title, error)
        return [Section(title, "unavailable", {"reason": str(error)})]


def _detection_sections(methods: Sequence[Method]) -> list[Section]:
    """What is computed from the detections: classes, errors, score calibration, gallery."""
    first = methods[0].runs[0]
    test_set = read_test_set(first.dataset, dataset_names(first.config, "train"))
    if not test_set.content["annotations"]:
        raise ValueError(f"{first.dataset!r} has no annotations, so nothing can be scored.")
    files, notes = {}, []
    for method in methods:
        for run in method.runs:
            logger.info("Reading the analysis of %s", run.folder)
            analysis = Analysis(run, test_set)
            files[run.folder] = _files(analysis, with_examples=run is method.runs[0])
            notes.append(analysis.note)
            analysis.close()
    notes = [*dict.fromkeys(notes), *missing_tasks(methods)]
    sections = [
        classes_section(
            methods,
            {folder: _class_scores(paths["classes"]) for folder, paths in files.items()},
            test_set.image_counts,
            [paths["classes"] for paths in files.values()],
        ),
        errors_section(methods, *_by_task(files, "errors", ERRORS)),
        score_calibration_section(methods, *_by_task(files, "calibration", CALIBRATION)),
    ]
    return [
        *(replace(section, notes=notes) for section in sections),
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


def _class_scores(path: Path) -> Any:
    """Names, groups and AP of the classes, by analyzed task."""
    content = read_json(path, {})
    scores = {task: content[task] for task in ANALYZED_TASKS if task in content}
    ensure_shape(scores, CLASS_SCORES, path)
    return scores


def _by_task(
    files: dict[Path, dict[str, Path]], what: str, shape: Any
) -> tuple[dict[str, dict[Path, Any]], list[Path]]:
    """Contents by task and folder, where there are any, and the files."""
    found = {
        task: {folder: p[f"{what} {task}"] for folder, p in files.items() if f"{what} {task}" in p}
        for task in ANALYZED_TASKS
    }
    contents = {
        task: {folder: read_json(path, shape) for folder, path in by_run.items()}
        for task, by_run in found.items()
        if by_run
    }
    return contents, [path for by_run in found.values() for path in by_run.values()]


def _gallery(
    methods: Sequence[Method], files: dict[Path, dict[str, Path]], test_set: TestSet
) -> Section:
    paths = {folder: of_run["examples"] for folder, of_run in files.items() if "examples" in of_run}
    examples = {folder: read_json(path, EXAMPLES) for folder, path in paths.items()}
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


def _ranking_theory(
    methods: Sequence[Method], num_images: int, trust: Sequence[str]
) -> list[Section]:
    """A section of the first run of each method, unless it rests on no images.

    It says why some are left out: a one-stage model has no proposals, and a run may have lost its
    weights.
    """
    if not num_images:
        return []
    errors, notes = {}, []
    for method in methods:
        try:
            errors[method.index] = _ranking_errors(method.runs[0], num_images, trust)
        except (OSError, ValueError) as error:
            notes.append(f"Left out: {method.name}: {error}")
    if not errors:
        raise ValueError(" ".join(notes))
    shown = [method for method in methods if method.index in errors]
    paths = [ranking_errors_path(method.runs[0].folder) for method in shown]
    section = ranking_theory_section(shown, errors, paths)
    return [replace(section, notes=[*section.notes, *notes])]


def _ranking_errors(run: ReportedRun, num_images: int, trust: Sequence[str]) -> Any:
    """The errors of a run, computed if they were not kept."""
    kept = read_kept_errors(run.folder, run.datasets, num_images)
    if kept:
        return kept
    path = write_ranking_errors(run.folder, num_images=num_images, trust=trust)
    return read_json(path, RANKING_ERRORS)
