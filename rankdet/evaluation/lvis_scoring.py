"""Average precision and recall as LVIS defines them, computed by faster-coco-eval."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

import numpy as np
from faster_coco_eval import COCOeval_faster

from rankdet.data.annotation_file import Record
from rankdet.data.frequency_groups import class_groups
from rankdet.evaluation.annotations import check_lvis_fields
from rankdet.evaluation.category_evaluation import category_evaluations
from rankdet.evaluation.judged_detections import FloatArray

RECALL_LIMITS = (1, 10)
"""Detections of a class in an image that AR@1 and AR@10 allow, as in COCO."""


class LVISScores(NamedTuple):
    """The metrics of LVIS for one task, in per cent; nan: there is no ground truth."""

    metrics: dict[str, float]
    """AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR@1, AR@10, AR, ARs, ARm, ARl, ARr, ARc, ARf;
    those of r, c and f where the categories have a frequency."""
    class_ap: FloatArray
    """``(K,)`` AP of each category, in the order of the category ids."""
    class_ar: FloatArray
    """``(K,)`` AR of each category."""


def score_lvis(
    content: Record,
    results: Sequence[Record],
    task: str,
    *,
    max_dets_per_image: int | None = 300,
    max_dets_per_class: int | None = None,
) -> LVISScores:
    """Score detections by the rules of LVIS: federated, and limited in number.

    The metrics equal those of the lvis package (0.5.3) up to rounding. Annotations and detections
    without area are left out, as there. LVIS has no crowds, so the package takes an annotation with
    ``iscrowd`` for an object; here, as in COCO, it is none, and a detection that matches it is
    ignored. Boundary AP (Cheng et al., "Boundary IoU", CVPR 2021) is AP by the
    smaller one of mask IoU and the IoU of the boundaries, 2 % of the image's diagonal wide.

    Fixed AP (Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil is in the
    Details", 2021) is ``max_dets_per_image=None, max_dets_per_class=10_000``: with a limit per
    image, a class gains if its detections displace those of other classes.

    Where no image has ``neg_category_ids``, the rules are COCO's: every category is judged in every
    image, and masks without area count.

    AR is over all detections that count; AR@1 and AR@10 are over the 1 and the 10 highest-scoring
    ones of each category in each image, as in COCO. With federated annotations, they are chosen
    among the detections that are judged there.

    Args:
        content: a parsed annotation file in the format of LVIS or COCO. It is not changed.
        results: detections with ``image_id``, ``category_id``, ``score`` and ``bbox`` (x, y, width,
            height) or ``segmentation`` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox", "segm" or "boundary".
        max_dets_per_image: only so many detections of an image count, the highest-scoring ones
            of all categories together; None: all of them.
        max_dets_per_class: only so many detections of a category count, the highest-scoring ones
            of all images together; None: all of them.

    Returns:
        The metrics, and AP and AR per category. A category that is annotated but never detected
        has AP 0; a metric over no annotated category at all (no rare class, no large object) is
        nan, as in Detectron2's COCO evaluator.

    Raises:
        ValueError: the annotations lack a field (see
            :func:`rankdet.evaluation.annotations.check_lvis_fields`) or what the task needs, or do
            not list a predicted image; there is no such task, a limit is not positive, or a score
            is not finite.
    """
    check_lvis_fields(content)
    evaluations = category_evaluations(
        content,
        results,
        task,
        max_dets_per_image=max_dets_per_image,
        max_dets_per_class=max_dets_per_class,
    )
    precision, recall, *limited_recalls = (
        np.concatenate(arrays, axis=-2)
        for arrays in zip(*(_precision_and_recalls(one) for one in evaluations), strict=True)
    )
    limited = {
        f"AR@{limit}": _mean_percent(values[..., 0])
        for limit, values in zip(RECALL_LIMITS, limited_recalls, strict=True)
    }
    return LVISScores(
        {**_metrics("AP", precision, content), **limited, **_metrics("AR", recall, content)},
        _per_class(precision),
        _per_class(recall),
    )


def class_scores(categories: list[Record], scores: LVISScores) -> dict[str, Record]:
    """Make a table of the scores of every class, for a JSON file.

    Args:
        categories: those of the annotation file.
        scores: what :func:`score_lvis` makes of that file.

    Returns:
        By category id, as text: name and frequency where known, AP and AR in per cent, None for a
        class that is not annotated.
    """
    ordered = sorted(categories, key=lambda category: category["id"])
    return {
        str(category["id"]): {
            **{key: category[key] for key in ("name", "frequency") if key in category},
            "AP": None if isnan(ap) else ap,
            "AR": None if isnan(ar) else ar,
        }
        for category, ap, ar in zip(
            ordered, scores.class_ap.tolist(), scores.class_ar.tolist(), strict=True
        )
    }


def _precision_and_recalls(evaluation: COCOeval_faster) -> list[FloatArray]:
    """By IoU threshold, (recall threshold,) category and area range; -1: undefined.

    Precision, recall, and recall with each of the limits.
    """
    params = evaluation.params
    if not evaluation.cocoGt.anns:
        shape = (len(params.iouThrs), len(params.recThrs), 1, len(params.areaRng))
        return [np.full(shape, -1.0), *[np.full((shape[0], *shape[2:]), -1.0)] * 3]
    params.maxDets = [*RECALL_LIMITS, max(*RECALL_LIMITS, *params.maxDets)]
    evaluation.evaluate()
    evaluation.accumulate()
    recalls = np.moveaxis(evaluation.eval["recall"], -1, 0)
    return [evaluation.eval["precision"][..., -1], recalls[-1], *recalls[:-1]]


def _metrics(name: str, values: FloatArray, content: Record) -> dict[str, float]:
    """Means over what is defined, of precision or of recall."""
    of_any_size = values[..., 0]
    iou_50, iou_75 = 0, 5
    metrics = {name: _mean_percent(of_any_size)}
    if name == "AP":
        metrics["AP50"] = _mean_percent(of_any_size[iou_50])
        metrics["AP75"] = _mean_percent(of_any_size[iou_75])
    for index, size in enumerate("sml", start=1):
        metrics[name + size] = _mean_percent(values[..., index])
    groups = class_groups(content["categories"])
    ids = groups.pop("all")
    for group, members in groups.items():
        metrics[name + group] = _mean_percent(of_any_size[..., np.isin(ids, members)])
    return metrics


def _per_class(values: FloatArray) -> FloatArray:
    return np.array([_mean_percent(values[..., k, 0]) for k in range(values.shape[-2])])


def _mean_percent(values: FloatArray) -> float:
    defined = values[values > -1]
    return 100 * float(defined.mean()) if defined.size else float("nan")
