"""The test set, and files of what has to be computed from the detections of a run."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from rankdet.data.annotation_checks import Record
from rankdet.data.class_stats import image_counts
from rankdet.data.frequency_groups import read_classes
from rankdet.data.registered import class_ids, ensure_dataset, load_dicts
from rankdet.evaluation.detection_table import DetectionTable
from rankdet.evaluation.error_analysis import ErrorAnalysis, analyze_errors
from rankdet.evaluation.ground_truth import read_ground_truth
from rankdet.evaluation.lvis_scoring import class_scores, score_lvis
from rankdet.evaluation.reliability import score_calibration
from rankdet.tools.analysis_file import Json, read_kept, write_analysis
from rankdet.tools.json_file import Number
from rankdet.tools.report.gallery import choose_examples
from rankdet.tools.report.methods import ANALYZED_TASKS
from rankdet.tools.report.reported_run import ReportedRun

_DEFAULT_LIMIT = 300
_COCO_LIMIT = 100

CLASS_SCORES = {str: {str: {"name": str, "frequency": (str, type(None)), "AP": Number}}}
ERRORS = {
    "groups": {str: {"lost": {str: Number}}},
    "confusions": [
        {"true_name": str, "predicted_name": str, "num_detections": int, "cost": Number}
    ],
}
CALIBRATION = {
    "groups": {str: {"ece": Number, "mean_score": [Number], "precision": [Number], "count": [int]}}
}
_EXAMPLES = [{"group": str, "object_name": str, "object_box": [(int, float)]}]
EXAMPLES = {"found": _EXAMPLES, "confused": _EXAMPLES, "missed": _EXAMPLES}
"""Shapes of the files, see :func:`rankdet.tools.json_file.read_json`."""


@dataclass(frozen=True)
class TestSet:
    """A data set.

    Attributes:
        name: under which it is registered.
        content: its annotations in the format of COCO or LVIS, the categories with a ``name`` and a
            ``frequency``.
        image_counts: category id to the number of training images that show it.
    """

    name: str
    content: Record
    image_counts: dict[int, int]

    @cached_property
    def image_files(self) -> dict[int | str, str]:
        """Image id to the path of the image, of those below the data set's folder of images.

        An annotation file may name any file of the machine, and a page is passed on. A data set
        that a function registers has no such folder, and names its files by its own code.
        """
        metadata = ensure_dataset(self.name)
        folder = getattr(metadata, "image_root", None) or getattr(metadata, "image_dir", None)
        return {
            record["image_id"]: record["file_name"]
            for record in load_dicts(self.name)
            if folder is None or _is_inside(record["file_name"], str(folder))
        }


def _is_inside(file: str, folder: str) -> bool:
    """Whether a file lies in a folder, without ``..``, and is no link to somewhere else.

    The folders between them may be links: that is how large data sets are laid out.
    """
    if not Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder)):
        return False
    found, place = Path(file).resolve(), Path(file).parent.resolve()
    return found.is_relative_to(place) or found.is_relative_to(Path(folder).resolve())


def read_test_set(name: str, train_names: Sequence[str]) -> TestSet:
    """Read annotations, and count the classes of the training sets.

    Args:
        name: a registered data set.
        train_names: registered training sets; they also decide the ``frequency`` of classes, as
            :func:`rankdet.data.frequency_groups.read_classes` does, where the file has none.

    Raises:
        ValueError: a data set is not registered or damaged, or the training sets have other
            classes.
        FileNotFoundError: an annotation file is missing.
    """
    content = read_ground_truth(name)
    known = read_classes(name, list(train_names))
    counts = image_counts(train_names).tolist()
    ids = [category["id"] for category in content["categories"]]
    classes = class_ids(ensure_dataset(name), ids)
    categories = [
        {
            "name": known.names[classes[category["id"]]],
            **category,
            "frequency": known.groups[classes[category["id"]]],
        }
        for category in content["categories"]
        if category["id"] in classes
    ]
    by_category = {category_id: counts[class_id] for category_id, class_id in classes.items()}
    return TestSet(name, {**content, "categories": categories}, by_category)


class Analysis:
    """Files about the detections of a run, made when they are first asked for.

    They are made again if they are older than the detections, or of other annotations or another
    rankdet. The detections are read once, and only if a file has to be made.

    Args:
        run: with a file of detections.
        test_set: what it was tested on.
    """

    def __init__(self, run: ReportedRun, test_set: TestSet) -> None:
        self.run = run
        self._test_set = test_set
        self._results: DetectionTable | None = None
        self._errors: dict[str, ErrorAnalysis] = {}

    @property
    def tasks(self) -> list[str]:
        """Those of boxes and masks that the run was evaluated for."""
        return [task for task in ANALYZED_TASKS if task in self.run.results]

    def class_scores_path(self) -> Path:
        """Task to category id to name, frequency, AP and AR; the evaluation's, if it left them."""
        path = self.run.folder / "inference" / "class_scores.json"
        return path if path.is_file() else self._ensure("class_scores.json", self._class_scores, {})

    def errors_path(self, task: str) -> Path:
        """See :meth:`rankdet.evaluation.error_analysis.ErrorAnalysis.to_json`."""
        return self._ensure(
            f"errors_{task}.json", lambda: self._error_analysis(task).to_json(), ERRORS
        )

    def calibration_path(self, task: str) -> Path:
        """See :func:`rankdet.evaluation.reliability.score_calibration`."""
        return self._ensure(
            f"score_calibration_{task}.json", lambda: self._calibration(task), CALIBRATION
        )

    def examples_path(self) -> Path:
        """See :func:`rankdet.tools.report.gallery.choose_examples`; of boxes."""
        return self._ensure("examples_bbox.json", self._examples, EXAMPLES)

    @property
    def note(self) -> str:
        """Which detections count here, and whether they are others than in the metrics."""
        text = f"Counted are the {self._limit} best detections of an image, all classes together"
        coco = [one for one in self._evaluators if "COCOEvaluator" in str(one.get("_target_"))]
        if not coco:
            return f"{text}."
        limit = coco[0].get("max_dets_per_image") or _COCO_LIMIT
        return (
            f"{text}; the section Metrics is by Detectron2's COCOEvaluator, which counts {limit} "
            "of each class in an image, so AP may differ."
        )

    def close(self) -> None:
        """Free the memory of the detections."""
        self._results = None
        self._errors = {}

    def _ensure(self, name: str, compute: Callable[[], Json], shape: Json) -> Path:
        path = self.run.folder / "analysis" / name
        detections = self.run.predictions
        is_new = read_kept(path, self.run.datasets, shape) is not None and (
            detections is None or path.stat().st_mtime >= detections.stat().st_mtime
        )
        if not is_new:
            write_analysis(path, compute(), self.run.datasets)
        return path

    def _read_results(self) -> DetectionTable:
        if self._results is None:
            self._results = self.run.read_predictions()
        return self._results

    def _class_scores(self) -> Json:
        categories = self._test_set.content["categories"]
        return {
            task: class_scores(
                categories, score_lvis(*self._arguments(task), max_dets_per_image=self._limit)
            )
            for task in self.tasks
        }

    def _error_analysis(self, task: str) -> ErrorAnalysis:
        if task not in self._errors:
            found = analyze_errors(*self._arguments(task), max_dets_per_image=self._limit)
            self._errors[task] = found
        return self._errors[task]

    def _calibration(self, task: str) -> Json:
        return score_calibration(*self._arguments(task), max_dets_per_image=self._limit)

    def _examples(self) -> Json:
        analysis = self._error_analysis("bbox")
        return choose_examples(self._test_set.content, self._read_results(), analysis)

    def _arguments(self, task: str) -> tuple[Record, DetectionTable, str]:
        return self._test_set.content, self._read_results(), task

    @property
    def _limit(self) -> int:
        """Detections of an image that count, of all classes together."""
        limits = [one.get("max_dets_per_image") for one in self._evaluators]
        return next((limit for limit in limits if limit is not None), _DEFAULT_LIMIT)

    @property
    def _evaluators(self) -> Sequence[DictConfig]:
        evaluators = self.run.config.dataloader.get("evaluator")
        found = evaluators if isinstance(evaluators, ListConfig) else [evaluators]
        return [one for one in found if isinstance(one, DictConfig)]
