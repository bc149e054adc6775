"""Average precision as LVIS defines it, computed by faster-coco-eval in chunks of categories."""

from collections import defaultdict
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core.mask import area as mask_area

Record = dict[str, Any]
FloatArray = npt.NDArray[np.float64]

FIELDS_OF_LVIS = {
    "images": ("neg_category_ids", "not_exhaustive_category_ids"),
    "annotations": ("area",),
    "categories": ("frequency",),
}
GEOMETRY_FIELD = {"bbox": "bbox", "segm": "segmentation"}

# Every (image, category) pair of a chunk is held in memory at once, so it bounds the memory.
CATEGORIES_PER_CHUNK = 100


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
        content: A parsed annotation file with the fields of LVIS v1. faster-coco-eval adds fields
            of its own to the annotations.
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
    _check_fields(content)
    annotations = [a for a in content["annotations"] if a["area"] > 0]
    ground_truth = COCO({**content, "annotations": annotations})
    detections = _judged(_top_per_image(results, max_dets_per_image), ground_truth)
    by_category = defaultdict(list)
    for detection in _with_area(detections, task):
        by_category[detection["category_id"]].append(detection)
    category_ids = sorted(ground_truth.cats)
    chunks = []
    for start in range(0, len(category_ids), CATEGORIES_PER_CHUNK):
        chunk = category_ids[start : start + CATEGORIES_PER_CHUNK]
        of_chunk = list(chain.from_iterable(by_category.pop(c, []) for c in chunk))
        chunks.append(_precision(ground_truth, chunk, of_chunk, task, max_dets_per_image))
    precision = np.concatenate(chunks, axis=2)
    frequencies = np.array([ground_truth.cats[c]["frequency"] for c in category_ids])
    return LVISScores(_metrics(precision, frequencies), _class_ap(precision))


def _check_fields(content: Record) -> None:
    for kind, fields in FIELDS_OF_LVIS.items():
        for field in fields:
            lacking = next((record for record in content[kind] if field not in record), None)
            if lacking is not None:
                raise ValueError(
                    f"Entry {lacking['id']} of the {kind} has no {field!r}, which the LVIS metrics "
                    "need; evaluate COCO-style annotations with Detectron2's COCOEvaluator."
                )


def _top_per_image(results: list[Record], limit: int) -> list[Record]:
    by_image = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    return [
        result
        for of_image in by_image.values()
        for result in sorted(of_image, key=lambda result: -result["score"])[:limit]
    ]


def _judged(results: list[Record], ground_truth: COCO) -> list[Record]:
    """The results whose category is known to be present in or absent from their image."""
    judged = {
        image_id: set(image["neg_category_ids"]) for image_id, image in ground_truth.imgs.items()
    }
    for annotation in ground_truth.anns.values():
        judged[annotation["image_id"]].add(annotation["category_id"])
    unknown = {result["image_id"] for result in results} - judged.keys()
    if unknown:
        raise ValueError(
            f"There are predictions for image {min(unknown)}, which is not among the "
            f"{len(judged)} images of the annotation file; evaluate on the dataset predicted."
        )
    # faster-coco-eval applies this rule too, but fails on images where it leaves no mask over.
    return [result for result in results if result["category_id"] in judged[result["image_id"]]]


def _with_area(results: list[Record], task: str) -> list[Record]:
    """Copy what the task needs of the results with an area; without a box, the mask's counts."""
    field = GEOMETRY_FIELD[task]
    results = [result for result in results if field in result]
    if task == "segm":
        areas = mask_area([result[field] for result in results]) if results else []
    else:
        areas = [result[field][2] * result[field][3] for result in results]
    keys = ("image_id", "category_id", "score", field)
    return [
        {key: result[key] for key in keys}
        for result, area in zip(results, areas, strict=True)
        if area > 0
    ]


def _precision(
    ground_truth: COCO, category_ids: list[int], results: list[Record], task: str, max_dets: int
) -> FloatArray:
    """Precision by IoU threshold, recall threshold, category and area range; -1: undefined."""
    evaluation = COCOeval_faster(ground_truth, ground_truth.loadRes(results), task, lvis_style=True)
    evaluation.params.catIds = category_ids
    evaluation.params.maxDets = [max_dets]
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
