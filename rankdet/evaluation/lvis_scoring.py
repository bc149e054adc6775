"""Average precision as LVIS defines it, computed by faster-coco-eval in chunks of categories."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCOeval_faster

from rankdet.evaluation.matching import Record, check_lvis_fields, chunked_evaluations

FloatArray = npt.NDArray[np.float64]


class LVISScores(NamedTuple):
    """What LVIS reports of one task; percent, nan where there is no ground truth."""

    metrics: dict[str, float]
    """AP, AP50, AP75, APs, APm, APl, APr, APc, APf."""
    class_ap: FloatArray
    """(K,): AP of each category, in the order of the category ids."""


def score_lvis(
    content: Record, results: list[Record], task: str, *, max_dets_per_image: int = 300
) -> LVISScores:
    """Score detections by the rules of LVIS: federated, and limited in number per image.

    Equal to the lvis package (0.5.3) up to rounding; like it, leaves out annotations and
    detections without area.

    Args:
        content: A parsed annotation file with the fields of LVIS v1. It is not changed.
        results: Detections with `image_id`, `category_id`, `score` and `bbox` (x, y, width,
            height) or `segmentation` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox" or "segm".
        max_dets_per_image: Only so many detections of an image count, the highest-scoring ones
            of all categories together.

    Returns:
        The metrics and the AP per category. A category that is annotated but never detected has
        AP 0; a metric over no annotated category at all (no rare class, no large object) is nan,
        as in Detectron2's COCO evaluator.

    Raises:
        ValueError: The annotations lack a field of LVIS v1, or do not list a predicted image.
    """
    check_lvis_fields(content)
    evaluations = chunked_evaluations(content, results, task, max_dets_per_image, lvis_style=True)
    precision = np.concatenate([_precision(evaluation) for evaluation in evaluations], axis=2)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    frequencies = np.array([category["frequency"] for category in categories])
    return LVISScores(_metrics(precision, frequencies), _class_ap(precision))


def _precision(evaluation: COCOeval_faster) -> FloatArray:
    """Precision by IoU threshold, recall threshold, category and area range; -1: undefined."""
    evaluation.evaluate()
    evaluation.accumulate()
    precision: FloatArray = evaluation.eval["precision"][..., 0]
    return precision


def _metrics(precision: FloatArray, frequencies: npt.NDArray[np.str_]) -> dict[str, float]:
    of_any_size = precision[..., 0]
    iou_50, iou_75 = 0, 5
    return {
        "AP": _mean_percent(of_any_size),
        "AP50": _mean_percent(of_any_size[iou_50]),
        "AP75": _mean_percent(of_any_size[iou_75]),
        **{f"AP{size}": _mean_percent(precision[..., i]) for i, size in enumerate("sml", start=1)},
        **{f"AP{group}": _mean_percent(of_any_size[:, :, frequencies == group]) for group in "rcf"},
    }


def _class_ap(precision: FloatArray) -> FloatArray:
    return np.array([_mean_percent(precision[:, :, k, 0]) for k in range(precision.shape[2])])


def _mean_percent(precision: FloatArray) -> float:
    defined = precision[precision > -1]
    return 100 * float(defined.mean()) if defined.size else float("nan")
