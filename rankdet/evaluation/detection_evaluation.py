"""Collecting the detections of a model, for evaluators that score them with an annotation file."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Generic, Protocol, TypeVar

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm

from rankdet.data.annotation_file import Record
from rankdet.data.atomic_file import atomic_file
from rankdet.data.class_stats import class_ids, ensure_dataset
from rankdet.evaluation.annotations import GEOMETRY_FIELD, is_federated
from rankdet.evaluation.detection_table import DetectionTable, gather_detections
from rankdet.evaluation.ground_truth import check_tasks, read_ground_truth
from rankdet.evaluation.judged_detections import check_images
from rankdet.evaluation.prediction_checks import (
    check_dataset_name,
    check_limit,
    check_predictions,
    instances_of,
)

logger = logging.getLogger(__name__)

LVIS_RESULTS = "lvis_instances_results.json"
COCO_RESULTS = "coco_instances_results.json"
CPU = torch.device("cpu")


class Scores(Protocol):
    """What an evaluator makes of the detections for one task."""

    @property
    def metrics(self) -> dict[str, float]:
        """The results, by name."""


ScoresT = TypeVar("ScoresT", bound=Scores)


class DetectionEvaluator(DatasetEvaluator, ABC, Generic[ScoresT]):
    """Collect, gather and write predictions as Detectron2's LVIS evaluator does; subclasses score.

    Images without predictions, all of them too, are scored as well. The predictions are held once,
    in a compact form, by the process that makes them and then by the main process.
    """

    def __init__(
        self,
        dataset_name: str | Sequence[str],
        tasks: tuple[str, ...] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int = 300,
    ) -> None:
        """Read the annotations of the dataset, and warn of what can't be judged.

        Args:
            dataset_name: A registered dataset, or a list of one. If it has no annotation file,
                Detectron2 converts what its function gives.
            tasks: Some of "bbox", "segm" and "boundary"; None: boxes, and masks if the model
                predicts them and the annotations have them.
            distributed: Gather the predictions of all processes.
            output_dir: Where the predictions are written in the format of COCO's server, as
                `lvis_instances_results.json` where the annotations are federated, else as
                `coco_instances_results.json`; None: nowhere.
            max_dets_per_image: Only so many detections of an image count.

        Raises:
            ValueError: The dataset is not registered, its annotations are damaged, there is no
                such task or nothing to judge it by, or the limit is not positive.
            FileNotFoundError: The annotation file is missing.
        """
        check_limit("max_dets_per_image", max_dets_per_image)
        if tasks is not None and (not tasks or not set(tasks) <= GEOMETRY_FIELD.keys()):
            known = ", ".join(map(repr, GEOMETRY_FIELD))
            raise ValueError(f"tasks is {tasks!r}; give a list of some of {known}.")
        self._name = check_dataset_name(dataset_name)
        self._metadata = ensure_dataset(self._name)
        # Polygons take most of the memory of a parsed file.
        needs_masks = tasks is None or set(tasks) != {"bbox"}
        self._content = read_ground_truth(self._name, masks=needs_masks)
        check_tasks(self._content, tasks, self._name)
        self._images = {image["id"]: image for image in self._content["images"]}
        contiguous = class_ids(self._metadata, [c["id"] for c in self._content["categories"]])
        self._category_ids = {class_id: category_id for category_id, class_id in contiguous.items()}
        self._tasks = tasks
        self._distributed = distributed
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._max_dets_per_image = max_dets_per_image
        self.scores: dict[str, ScoresT] = {}
        """By key of the results, after `evaluate`: with the values of every class."""

    @abstractmethod
    def score(self, content: Record, results: Sequence[Record], task: str) -> Mapping[str, ScoresT]:
        """Score all detections.

        Args:
            content: The parsed annotation file.
            results: Detections as in COCO's result files, by the category ids of that file.
            task: "bbox", "segm" or "boundary".

        Returns:
            Scores by the key they get in the results.
        """

    def reset(self) -> None:
        """Forget the predictions, before a new evaluation.

        Raises:
            OSError: Nothing can be written to the output folder.
        """
        self._results = DetectionTable()
        self._predicted_images: list[int | str] = []
        self._predicts_masks = False
        if self._output_dir and (comm.is_main_process() or not self._distributed):
            _check_writable(self._output_dir)

    def process(self, inputs: list[Record], outputs: list[Record]) -> None:
        """Collect the predictions for a batch.

        Args:
            inputs: The dataset dicts that the model was given.
            outputs: What the model returned for them, with `instances`.

        Raises:
            ValueError: The annotation file does not list an image, the model predicts no instances
                or a class that the dataset does not have, or what it predicts can't be scored (see
                :func:`rankdet.evaluation.prediction_checks.check_predictions`).
        """
        for record, output in zip(inputs, outputs, strict=True):
            instances, image_id = instances_of(output).to(CPU), record["image_id"]
            check_images([image_id], self._images)
            image = self._images[image_id]
            results = instances_to_coco_json(instances, image["id"])
            check_predictions(results, image)
            self._restore_category_ids(results)
            self._results.add(results)
            # Images without detections leave no other trace of what the model predicts.
            self._predicts_masks |= instances.has("pred_masks")
            self._predicted_images.append(image["id"])

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Gather the predictions, write them and score them.

        Returns:
            The metrics by key in the main process, {} if there were no images; None in the others.

        Raises:
            ValueError: An image was predicted twice, or only some annotations have masks.
        """
        seen = [(self._predicted_images, self._predicts_masks)]
        if self._distributed:
            gather_detections(self._results)
            seen = comm.gather(seen[0])
            if not comm.is_main_process():
                return None
        image_ids = [image_id for image_ids, _ in seen for image_id in image_ids]
        _check_unique(image_ids)
        if not image_ids:
            logger.warning("The evaluator was given no predictions.")
            return {}
        self._write()
        if not self._content["annotations"]:
            logger.warning("Nothing can be scored: dataset %r has no annotations.", self._name)
            return {}
        if len(image_ids) < len(self._images):
            logger.warning(
                "The model was given only %d of the %d images of dataset %r; the objects on the "
                "others count as missed.",
                len(image_ids),
                len(self._images),
                self._name,
            )
        if not self._results:
            logger.warning("The model predicted nothing on any image.")
        return self._score(self._tasks or self._possible_tasks(any(masks for _, masks in seen)))

    def _write(self) -> None:
        if self._output_dir:
            name = LVIS_RESULTS if is_federated(self._content) else COCO_RESULTS
            with atomic_file(self._output_dir / name) as file:
                self._results.write(file)
            logger.info("Predictions: %s", self._output_dir / name)

    def _possible_tasks(self, predicts_masks: bool) -> tuple[str, ...]:
        if not predicts_masks:
            return ("bbox",)
        if any(annotation.get("segmentation") for annotation in self._content["annotations"]):
            return ("bbox", "segm")
        logger.warning(
            "The model predicts masks, but no annotation of dataset %r has one: only boxes are "
            "scored.",
            self._name,
        )
        return ("bbox",)

    def _score(self, tasks: tuple[str, ...]) -> dict[str, dict[str, float]]:
        self.scores = {}
        for task in tasks:
            self.scores |= self.score(self._content, self._results, task)
        return {key: dict(scores.metrics) for key, scores in self.scores.items()}

    def _restore_category_ids(self, results: list[Record]) -> None:
        """Turn the contiguous ids of the model into the category ids of the annotation file."""
        for result in results:
            class_id = result["category_id"]
            if class_id not in self._category_ids:
                raise ValueError(
                    f"The model predicts class {class_id}, but dataset {self._name!r} has "
                    f"only {len(self._category_ids)} classes; evaluate on the dataset it was "
                    "trained for."
                )
            result["category_id"] = self._category_ids[class_id]


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"output_dir is {str(folder)!r}, where nothing can be written ({error}); give another."
        ) from error


def _check_unique(image_ids: list[int | str]) -> None:
    image_id, number = next(iter(Counter(image_ids).most_common(1)), ("", 0))
    if number > 1:
        raise ValueError(
            f"Image {image_id!r} was predicted {number} times, so that its detections would count "
            "as duplicates; let the sampler of the test loader give each image to one process "
            "once, as Detectron2's InferenceSampler does."
        )
