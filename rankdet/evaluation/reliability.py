"""Score calibration: how well scores tell the probability that a detection is right."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rankdet.data.annotation_file import Record
from rankdet.data.frequency_groups import class_groups
from rankdet.evaluation.judged_detections import BoolArray, FloatArray, IntArray
from rankdet.evaluation.matching import match_detections


def score_calibration(
    content: Record,
    results: Sequence[Record],
    task: str,
    num_bins: int = 10,
    *,
    max_dets_per_image: int | None = 300,
) -> dict[str, Any]:
    """Compare the scores of detections with their precision, in bins of equal width.

    A detection is right if it is the first to find an object of its class at IoU 0.5, so a
    duplicate is wrong. Only the detections that AP judges count. The expected calibration error
    is the mean of |precision - mean score| of the bins, weighted by their detections. Detectors
    that keep every detection down to a tiny score have almost all detections in the first bin,
    which then decides the error. So look at the bins, too.

    Source: Kueppers et al., "Multivariate Confidence Calibration for Object Detection", CVPR
    Workshops 2020 (D-ECE), of the score alone. Detections of a group are pooled, not averaged by
    class.

    Args:
        content: a parsed annotation file in the format of COCO or LVIS.
        results: detections, as in
            :func:`rankdet.evaluation.matching.match_images`, with scores in [0, 1].
        task: "bbox" or "segm".
        num_bins: number of bins of [0, 1], at least 1; a bin holds its lower edge, the last one
            its upper edge, too.
        max_dets_per_image: only so many detections of an image count; None: all.

    Returns:
        ``bin_edges`` (num_bins + 1,) and ``groups``: for "all" and, where the categories have a
        frequency, "r", "c" and "f" a dict of ``ece`` and of lists over the bins: ``count``,
        ``mean_score`` and ``precision``. None where there are no detections. Ready for JSON.

    Raises:
        ValueError: a score lies outside of [0, 1], ``num_bins`` is not positive, or the annotations
            are refused by :func:`rankdet.evaluation.matching.match_images`.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}; give at least 1.")
    matches = match_detections(content, results, task, max_dets_per_image=max_dets_per_image)
    scores, is_right = matches.scores, matches.ious > 0
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            f"Scores lie in [{scores.min()}, {scores.max()}]; only probabilities can be calibrated."
        )
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, num_bins - 1)
    groups = {
        name: _reliability(scores[in_group], is_right[in_group], bins[in_group], num_bins)
        for name, members in class_groups(content["categories"]).items()
        for in_group in [np.isin(matches.classes, members)]
    }
    return {"bin_edges": edges.tolist(), "groups": groups}


def _reliability(
    scores: FloatArray, is_right: BoolArray, bins: IntArray, num_bins: int
) -> dict[str, Any]:
    count = np.bincount(bins, minlength=num_bins)
    filled = np.maximum(count, 1)
    mean_score = np.bincount(bins, scores, num_bins) / filled
    precision = np.bincount(bins, is_right, num_bins) / filled
    error = (count * np.abs(precision - mean_score)).sum() / max(len(scores), 1)
    return {
        "ece": float(error) if len(scores) else None,
        "count": count.tolist(),
        "mean_score": _or_none(mean_score, count),
        "precision": _or_none(precision, count),
    }


def _or_none(values: FloatArray, count: IntArray) -> list[float | None]:
    return [value if num else None for value, num in zip(values.tolist(), count, strict=True)]
