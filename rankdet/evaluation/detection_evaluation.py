"""Collecting the detections of a model, for evaluators that score them with an annotation file."""

import itertools
import json
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from detectron2.evaluation import LVISEvaluator as Detectron2LVISEvaluator
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table
from lvis import LVIS

from rankdet.data.annotation_file import Record, read_annotations
from rankdet.data.class_stats import annotation_path, class_ids, ensure_dataset

logger = logging.getLogger(__name__)


class Scores(Protocol):
    """What an evaluator makes of the detections for one task."""

    @property
    def metrics(self) -> dict[str, float]:
        """The results, by name."""


ScoresT = TypeVar("ScoresT", bound=Scores)


class DetectionEvaluator(Detectron2LVISEvaluator, ABC, Generic[ScoresT]):
    """Collect, gather and dump predictions as Detectron2's LVIS evaluator does; subclasses score.

    Images without predictions, all of them too, are scored as well.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: tuple[str, ...] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int = 300,
    ) -> None:
        """Read the annotations of the dataset.

        Args:
            dataset_name: A registered dataset with an annotation file.
            tasks: "bbox", "segm" or both; None: those that the model predicts.
            distributed: Gather the predictions of all processes.
            output_dir: Where the predictions are written, as `instances_predictions.pth` and
                `lvis_instances_results.json`; None: nowhere.
            max_dets_per_image: Only so many detections of an image count.

        Raises:
            ValueError: The dataset is not registered, or its annotations are damaged or in no file.
            FileNotFoundError: The annotation file is missing.
        """
        # Detectron2's constructor is not called: it would read the file a second time, unchecked.
        self._metadata = ensure_dataset(dataset_name)
        path = annotation_path(self._metadata)
        if path is None:
            raise ValueError(
                f"Dataset {dataset_name!r} has no annotation file; set json_file of its metadata "
                "to one in the format of LVIS or COCO (Detectron2's COCOEvaluator writes one of "
                "COCO's, if it comes before this evaluator)."
            )
        self._lvis_api = _CheckedLVIS(str(path), dataset_name)
        self._do_evaluation = len(self._lvis_api.anns) > 0
        self._tasks = tasks
        self._distributed = distributed
        self._output_dir = output_dir
        self._max_dets_per_image = max_dets_per_image
        self._logger = logger
        self._cpu_device = torch.device("cpu")
        self.scores: dict[str, ScoresT] = {}
        """By key of the results, after `evaluate`: with the values of every class."""

    @abstractmethod
    def score(self, content: Record, results: list[Record], task: str) -> ScoresT:
        """Score all detections.

        Args:
            content: The parsed annotation file.
            results: Detections as in COCO's result files, by the category ids of that file.
            task: "bbox" or "segm".
        """

    def result_key(self, task: str) -> str:
        """Name of a task in the results."""
        return task

    def reset(self) -> None:
        """Forget the predictions, before a new evaluation."""
        super().reset()
        self._predicts_masks = False

    def process(self, inputs: list[Record], outputs: list[Record]) -> None:
        """Collect the predictions for a batch.

        Args:
            inputs: The dataset dicts that the model was given.
            outputs: What the model returned for them, with `instances` or `proposals`.
        """
        super().process(inputs, outputs)
        # Images without detections leave no other trace of what the model predicts.
        self._predicts_masks |= any(
            "instances" in output and output["instances"].has("pred_masks") for output in outputs
        )

    def _eval_predictions(self, predictions: list[Record]) -> None:
        results = list(itertools.chain.from_iterable(p["instances"] for p in predictions))
        self._restore_category_ids(results)
        if self._output_dir:
            _write_results(results, self._output_dir)
        if not self._do_evaluation:
            logger.info("The annotation file has no annotations: there is nothing to score.")
            return
        if not results:
            logger.warning("The model predicted nothing on any image.")
        for task in self._tasks or (("bbox", "segm") if self._predicts_masks else ("bbox",)):
            key = self.result_key(task)
            self.scores[key] = self.score(self._lvis_api.dataset, results, task)
            self._results[key] = dict(self.scores[key].metrics)
            logger.info("Metrics, %s:\n%s", key, create_small_table(self._results[key]))

    def _restore_category_ids(self, results: list[Record]) -> None:
        """Turn the contiguous ids of the model into the category ids of the annotation file."""
        contiguous = class_ids(self._metadata, self._lvis_api.cats)
        category_ids = {class_id: category_id for category_id, class_id in contiguous.items()}
        for result in results:
            class_id = result["category_id"]
            if class_id not in category_ids:
                raise ValueError(
                    f"The model predicts class {class_id}, but dataset {self._metadata.name!r} has "
                    f"only {len(category_ids)} classes; evaluate on the dataset it was trained for."
                )
            result["category_id"] = category_ids[class_id]


def _write_results(results: list[Record], folder: str) -> None:
    path = str(Path(folder) / "lvis_instances_results.json")
    logger.info("Saving the predictions to %s", path)
    with PathManager.open(path, "w") as file:
        json.dump(results, file)


class _CheckedLVIS(LVIS):
    """An index of a file whose consistency was checked when it was read."""

    def __init__(self, path: str, dataset_name: str) -> None:
        self._dataset_name = dataset_name
        super().__init__(path)

    def _load_json(self, path: str) -> dict[str, Any]:
        return read_annotations(path, dataset_name=self._dataset_name)
