"""One evaluator of everything that rankdet measures of detections."""

import json
import logging
import math
from collections import Counter
from collections.abc import Sequence

from rankdet.data.annotation_file import Record
from rankdet.data.atomic_file import write_atomically
from rankdet.data.class_stats import class_ids, image_counts
from rankdet.data.frequency_groups import frequency_group
from rankdet.evaluation.detection_evaluation import DetectionEvaluator
from rankdet.evaluation.lrp_scoring import LRPScores, score_lrp
from rankdet.evaluation.lvis_scoring import LVISScores, score_lvis
from rankdet.evaluation.prediction_checks import check_limit

logger = logging.getLogger(__name__)

CLASS_SCORES_FILE = "class_scores.json"


class RankdetEvaluator(DetectionEvaluator[LVISScores | LRPScores]):
    """Evaluate AP, Fixed AP, boundary AP, AR and optimal LRP of one set of predictions.

    For every dataset of boxes, with masks or without, by the rules in
    :func:`rankdet.evaluation.lvis_scoring.score_lvis`. The results are `bbox` and `segm` (what
    Detectron2's LVIS evaluator gives, and AR), and `bbox_lrp` and `segm_lrp` (see
    :class:`rankdet.evaluation.lrp_scoring.LRPScores`). Two metrics are for who asks for them:

    - Boundary AP, ``tasks=("bbox", "segm", "boundary")``, gives `boundary`. It takes several times
      as long as all others.
    - Fixed AP, ``max_dets_per_class=10_000``, gives `bbox_fixed`, ...: so many detections per class
      compete, however many are in one image. It is only what its name says if the model kept that
      many: one that returns 300 per image has made the choice already, and its Fixed AP is near its
      AP. So set `test_topk_per_image` of the box predictor far above 300 and `test_score_thresh`
      low, which costs time and memory; the other metrics still count 300 per image.

    Beside the predictions, `class_scores.json` in the output folder has AP and AR of every class::

        {"bbox": {"<category id>": {"name": ..., "frequency": "r", "AP": 12.3, "AR": 45.6}}, ...}

    with null for a class that is not annotated.
    """

    def __init__(
        self,
        dataset_name: str | Sequence[str],
        tasks: tuple[str, ...] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int = 300,
        max_dets_per_class: int | None = None,
        training_dataset: str | Sequence[str] | None = None,
    ) -> None:
        """Read the annotations of the dataset.

        Args:
            dataset_name: A registered dataset, or a list of one. If it has no annotation file,
                Detectron2 converts what its function gives.
            tasks: Some of "bbox", "segm" and "boundary"; None: boxes, and masks if the model
                predicts them and the annotations have them.
            distributed: Gather the predictions of all processes.
            output_dir: Where the predictions and the scores per class are written; None: nowhere.
            max_dets_per_image: Only so many detections of an image count, except for Fixed AP.
            max_dets_per_class: Only so many detections of a class count for Fixed AP, in its paper
                10,000; None: without Fixed AP.
            training_dataset: One or several registered datasets, whose images decide which classes
                are rare (in up to 10 of them), common (up to 100) and frequent, where the
                annotation file does not. None: without it, such a file gets no metrics by group.

        Raises:
            ValueError: A dataset is not registered, its annotations are damaged, there is no such
                task or nothing to judge it by, or a limit is not positive.
            FileNotFoundError: An annotation file is missing.
        """
        check_limit("max_dets_per_class", max_dets_per_class, may_be_none=True)
        super().__init__(
            dataset_name, tasks, distributed, output_dir, max_dets_per_image=max_dets_per_image
        )
        self._max_dets_per_class = max_dets_per_class
        categories = self._content["categories"]
        if training_dataset is not None and not any("frequency" in c for c in categories):
            self._content["categories"] = self._with_frequencies(categories, training_dataset)

    def score(
        self, content: Record, results: Sequence[Record], task: str
    ) -> dict[str, LVISScores | LRPScores]:
        """Score by all metrics that there are for a task."""
        per_image, per_class = self._max_dets_per_image, self._max_dets_per_class
        scores: dict[str, LVISScores | LRPScores] = {
            task: score_lvis(content, results, task, max_dets_per_image=per_image)
        }
        if per_class is not None:
            scores[f"{task}_fixed"] = score_lvis(
                content, results, task, max_dets_per_image=None, max_dets_per_class=per_class
            )
        if task != "boundary":
            scores[f"{task}_lrp"] = score_lrp(content, results, task, max_dets_per_image=per_image)
        return scores

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Gather the predictions, write them, score them and write the scores per class."""
        metrics = super().evaluate()
        if metrics and self._max_dets_per_class is not None:
            self._check_fixed_ap()
        if metrics and self._output_dir:
            path = self._output_dir / CLASS_SCORES_FILE
            write_atomically(path, json.dumps(self._class_scores(), indent=1) + "\n")
            logger.info("Scores of every class: %s", path)
        return metrics

    def _check_fixed_ap(self) -> None:
        most = max(Counter(self._results.column("image_id")).values(), default=0)
        if most <= self._max_dets_per_image:
            logger.warning(
                "No image has more than %d detections: Fixed AP is that of a model which was asked "
                "for so few (test_topk_per_image).",
                self._max_dets_per_image,
            )

    def _class_scores(self) -> Record:
        return {
            key: class_scores(self._content["categories"], scores)
            for key, scores in self.scores.items()
            if isinstance(scores, LVISScores)
        }

    def _with_frequencies(
        self, categories: list[Record], training_dataset: str | Sequence[str]
    ) -> list[Record]:
        counts = image_counts(training_dataset).tolist()
        if len(counts) != len(categories):
            raise ValueError(
                f"training_dataset is {training_dataset!r} with {len(counts)} classes, but dataset "
                f"{self._name!r} has {len(categories)}; give the one that belongs to it."
            )
        contiguous = class_ids(self._metadata, [category["id"] for category in categories])
        return [
            {**category, "frequency": frequency_group(counts[contiguous[category["id"]]])}
            for category in categories
        ]


def class_scores(categories: list[Record], scores: LVISScores) -> dict[str, Record]:
    """Make a table of the scores of every class, for a JSON file.

    Args:
        categories: Those of the annotation file.
        scores: What `score_lvis` makes of that file.

    Returns:
        By category id, as text: name and frequency where known, AP and AR in per cent, None for a
        class that is not annotated.
    """
    ordered = sorted(categories, key=lambda category: category["id"])
    return {
        str(category["id"]): {
            **{key: category[key] for key in ("name", "frequency") if key in category},
            "AP": None if math.isnan(ap) else ap,
            "AR": None if math.isnan(ar) else ar,
        }
        for category, ap, ar in zip(
            ordered, scores.class_ap.tolist(), scores.class_ar.tolist(), strict=True
        )
    }
