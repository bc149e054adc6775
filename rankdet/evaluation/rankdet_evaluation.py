"""The evaluator of everything that rankdet measures of detections."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm

from rankdet.data.annotation_file import Record
from rankdet.data.atomic_file import atomic_file, write_atomically
from rankdet.data.frequency_groups import training_groups
from rankdet.data.registered import class_ids, ensure_dataset
from rankdet.evaluation.annotations import GEOMETRY_FIELD, is_federated
from rankdet.evaluation.argument_checks import (
    check_choices,
    check_dataset_name,
    check_limit,
    check_metrics,
    check_output_folder,
)
from rankdet.evaluation.detection_table import DetectionTable, gather_detections
from rankdet.evaluation.ground_truth import check_tasks, possible_tasks, read_ground_truth
from rankdet.evaluation.lrp_scoring import LRPScores, score_lrp
from rankdet.evaluation.lvis_scoring import LVISScores, class_scores, score_lvis
from rankdet.evaluation.prediction_checks import (
    check_images,
    check_predictions,
    check_unique,
    instances_of,
)

logger = logging.getLogger(__name__)

METRICS = ("ap", "lrp")
LVIS_RESULTS = "lvis_instances_results.json"
COCO_RESULTS = "coco_instances_results.json"
CLASS_SCORES_FILE = "class_scores.json"
CPU = torch.device("cpu")


class RankdetEvaluator(DatasetEvaluator):  # Detectron2 has no annotations
    """Evaluate AP, Fixed AP, boundary AP, AR and optimal LRP of one set of predictions.

    For every data set of boxes, with masks or without, by the rules in
    :func:`rankdet.evaluation.lvis_scoring.score_lvis`. Of the metric "ap" the results are ``bbox``
    and ``segm`` (what Detectron2's LVIS evaluator gives, and AR); of "lrp", ``bbox_lrp`` and
    ``segm_lrp`` (see :class:`rankdet.evaluation.lrp_scoring.LRPScores`). Two kinds of AP are
    opt-in:

    - Boundary AP, ``tasks=("bbox", "segm", "boundary")``, gives ``boundary``. It takes several
      times as long as all others.
    - Fixed AP, ``max_dets_per_class=10_000``, gives ``bbox_fixed``, ...: so many detections per
      class compete, however many are in one image. It is meaningful only if the model keeps more
      than 300 detections per image; otherwise it is close to AP. So set ``test_topk_per_image`` of
      the box predictor far above 300 and ``test_score_thresh`` low, which costs time and memory;
      the other metrics still count 300 per image.

    Beside an evaluator that gives AP itself, take ``metrics=("lrp",)``: Detectron2 combines
    evaluators only where the keys of their results differ. In a config, names of data sets must
    then be given from the root (``"${dataloader.test.dataset.names}"``), because relative ones
    count the list as a level::

        dataloader.evaluator = [L(COCOEvaluator)(...), L(RankdetEvaluator)(..., metrics=["lrp"])]

    The predictions are gathered and written as by Detectron2's LVIS evaluator. Images without
    predictions are scored, too, even if there are no others. The predictions are held once, in a
    compact form, by the process that makes them and then by the main process. Beside them,
    ``class_scores.json`` in the output folder has AP and AR of every class::

        {"bbox": {"<category id>": {"name": ..., "frequency": "r", "AP": 12.3, "AR": 45.6}}, ...}

    with null for a class that is not annotated.

    Args:
        dataset_name: a registered data set, or a list of one. If it has no annotation file,
            Detectron2 converts what its function gives.
        tasks: some of "bbox", "segm" and "boundary"; None: boxes, and masks if the model predicts
            them and the annotations have them.
        distributed: gather the predictions of all processes.
        output_dir: where the scores per class are written, and the predictions in the format of
            COCO's server, as ``lvis_instances_results.json`` where the annotations are federated,
            else as ``coco_instances_results.json``; None: nowhere.
        metrics: some of "ap" and "lrp". Boundaries and Fixed AP need "ap".
        max_dets_per_image: only so many detections of an image count, except for Fixed AP.
        max_dets_per_class: only so many detections of a class count for Fixed AP, in its paper
            10,000; None: without Fixed AP.
        training_dataset: one or several registered data sets, whose images decide which classes
            are rare (in up to 10 of them), common (up to 100) and frequent, where the annotation
            file does not. None: without it, such a file gets no metrics by group.

    Raises:
        ValueError: a data set is not registered, its annotations are damaged, there is no such
            task or metric or nothing to judge it by, or a limit is not positive.
        FileNotFoundError: an annotation file is missing.
    """

    def __init__(
        self,
        dataset_name: str | Sequence[str],
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        metrics: Sequence[str] = METRICS,
        max_dets_per_image: int = 300,
        max_dets_per_class: int | None = None,
        training_dataset: str | Sequence[str] | None = None,
    ) -> None:
        check_limit("max_dets_per_image", max_dets_per_image)
        check_limit("max_dets_per_class", max_dets_per_class, may_be_none=True)
        if tasks is not None:
            check_choices("tasks", tasks, GEOMETRY_FIELD)
        check_metrics(metrics, METRICS, tasks, max_dets_per_class)
        self._name = check_dataset_name(dataset_name)
        self._tasks, self._metrics, self._distributed = tasks, metrics, distributed
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._max_dets_per_image, self._max_dets_per_class = max_dets_per_image, max_dets_per_class
        metadata = ensure_dataset(self._name)
        self._content = self._read_annotations()
        self._images = {image["id"]: image for image in self._content["images"]}
        self._class_ids = class_ids(metadata, [one["id"] for one in self._content["categories"]])
        self._category_ids = {class_id: one for one, class_id in self._class_ids.items()}
        if training_dataset is not None:
            self._content["categories"] = self._with_frequencies(training_dataset)
        self.scores: dict[str, LVISScores | LRPScores] = {}
        """By key of the results, after ``evaluate``: with the values of every class."""

    def reset(self) -> None:
        """Forget the predictions, before a new evaluation.

        Raises:
            OSError: nothing can be written to the output folder.
        """
        self._results = DetectionTable()
        self._predicted_images: list[int | str] = []
        self._predicts_masks = False
        if self._output_dir and (comm.is_main_process() or not self._distributed):
            check_output_folder(self._output_dir)

    def process(self, inputs: list[Record], outputs: list[Record]) -> None:
        """Collect the predictions for a batch.

        Args:
            inputs: the dataset dicts that the model was given.
            outputs: what the model returned for them, with ``instances``.

        Raises:
            ValueError: the annotation file does not list an image, the model predicts no instances
                or a class that the data set does not have, or what it predicts can't be scored
                (see :func:`rankdet.evaluation.prediction_checks.check_predictions`).
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
        """Gather the predictions, write them, score them and write the scores per class.

        Returns:
            The metrics by key in the main process, {} if there were no images; None in the others.

        Raises:
            ValueError: an image was predicted twice, or only some annotations have masks.
        """
        seen = self._gather()
        if seen is None:
            return None
        image_ids, predicts_masks = seen
        check_unique(image_ids)
        if not image_ids:
            logger.warning("The evaluator was given no predictions.")
            return {}
        self._write_predictions()
        if not self._content["annotations"]:
            logger.warning("Nothing can be scored: dataset %r has no annotations.", self._name)
            return {}
        self._warn_of_gaps(len(image_ids))
        self.scores = {}
        for task in self._tasks or possible_tasks(self._content, predicts_masks, self._name):
            self.scores |= self._score(task)
        self._write_class_scores()
        return {key: dict(scores.metrics) for key, scores in self.scores.items()}

    def _read_annotations(self) -> Record:
        # Polygons take most of the memory of a parsed file.
        needs_masks = self._tasks is None or set(self._tasks) != {"bbox"}
        content = read_ground_truth(self._name, masks=needs_masks)
        check_tasks(content, self._tasks, self._name)
        return content

    def _with_frequencies(self, training_dataset: str | Sequence[str]) -> list[Record]:
        """The categories, with the group of each class in training if they have none."""
        categories: list[Record] = self._content["categories"]
        if any("frequency" in category for category in categories):
            return categories
        groups = training_groups(training_dataset, self._name, len(categories))
        return [{**one, "frequency": groups[self._class_ids[one["id"]]]} for one in categories]

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

    def _gather(self) -> tuple[list[int | str], bool] | None:
        """All predicted images, and whether there are masks; None in other processes than main."""
        if not self._distributed:
            return self._predicted_images, self._predicts_masks
        gather_detections(self._results)
        seen = comm.gather((self._predicted_images, self._predicts_masks))
        if not comm.is_main_process():
            return None
        return [one for image_ids, _ in seen for one in image_ids], any(masks for _, masks in seen)

    def _write_predictions(self) -> None:
        if self._output_dir:
            path = self._output_dir / (
                LVIS_RESULTS if is_federated(self._content) else COCO_RESULTS
            )
            with atomic_file(path) as file:
                self._results.write(file)
            logger.info("Predictions: %s", path)

    def _warn_of_gaps(self, num_images: int) -> None:
        if num_images < len(self._images):
            logger.warning(
                "The model was given only %d of the %d images of dataset %r; the objects on the "
                "others count as missed.",
                num_images,
                len(self._images),
                self._name,
            )
        if not self._results:
            logger.warning("The model predicted nothing on any image.")
        most = max(Counter(self._results.column("image_id")).values(), default=0)
        if self._max_dets_per_class is not None and most <= self._max_dets_per_image:
            logger.warning(
                "No image has more than %d detections: Fixed AP is that of a model which was asked "
                "for so few (test_topk_per_image).",
                self._max_dets_per_image,
            )

    def _score(self, task: str) -> dict[str, LVISScores | LRPScores]:
        """All metrics that there are for a task, by key of the results."""
        data, limit = (self._content, self._results, task), self._max_dets_per_image
        per_class = self._max_dets_per_class
        scores: dict[str, LVISScores | LRPScores] = {}
        if "ap" in self._metrics:
            scores[task] = score_lvis(*data, max_dets_per_image=limit)
        if per_class is not None:
            scores[f"{task}_fixed"] = score_lvis(
                *data, max_dets_per_image=None, max_dets_per_class=per_class
            )
        if "lrp" in self._metrics and task != "boundary":
            scores[f"{task}_lrp"] = score_lrp(*data, max_dets_per_image=limit)
        return scores

    def _write_class_scores(self) -> None:
        of_classes = {
            key: class_scores(self._content["categories"], scores)
            for key, scores in self.scores.items()
            if isinstance(scores, LVISScores)
        }
        if of_classes and self._output_dir:
            path = self._output_dir / CLASS_SCORES_FILE
            write_atomically(path, json.dumps(of_classes, indent=1) + "\n")
            logger.info("Scores of every class: %s", path)
