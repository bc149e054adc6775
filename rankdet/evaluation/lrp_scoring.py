"""Optimal Localization Recall Precision (oLRP), and the correlation of scores and IoUs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rankdet.data.annotation_file import Record
from rankdet.data.frequency_groups import class_groups
from rankdet.evaluation.judged_detections import FloatArray
from rankdet.evaluation.matching import TP_IOU, Matches, match_detections


class OptimalLRP(NamedTuple):
    """LRP of one class at the score threshold where it is least; nan: undefined."""

    error: float
    """oLRP, in [0, 1]."""
    localization: float
    """Mean of 1 - IoU over the true positives, in [0, 1 - tau]."""
    false_positive: float
    """1 - precision."""
    false_negative: float
    """1 - recall."""
    threshold: float
    """Detections of this score and above are kept; inf: no detection is worth keeping."""


class LRPScores(NamedTuple):
    """Optimal LRP of one task, errors in per cent (lower is better), correlations in [-1, 1]."""

    metrics: dict[str, float]
    """Means over the classes: oLRP, oLRP_Loc, oLRP_FP, oLRP_FN, score_iou_correlation, and oLRPr,
    oLRPc, oLRPf where the categories have a frequency."""
    per_class: dict[str, FloatArray]
    """``(K,)`` in the order of the category ids: the first five of the metrics, and threshold (a
    score)."""


class _ClassMatches(NamedTuple):
    scores: FloatArray
    """``(D,)`` of the detections that are right or wrong; ignored ones are left out."""
    ious: FloatArray
    """``(D,)`` IoU with the object that the detection matches; 0: none."""
    num_objects: int


def score_lrp(
    content: Record, results: Sequence[Record], task: str, *, max_dets_per_image: int | None = 300
) -> LRPScores:
    """Score detections by optimal LRP and by the correlation of score and IoU.

    Detections are matched to objects by :mod:`rankdet.evaluation.matching`, at IoU 0.5. A
    detection that matches a crowd is ignored.

    Source: Oksuz et al., "Localization Recall Precision (LRP)", ECCV 2018; Oksuz et al., "A
    Ranking-based, Balanced Loss Function" (aLRP), NeurIPS 2020, section 2.2. The Pearson
    correlation is that of sections 5 and 5.2 there, which call it one "between the rankings";
    scores and IoUs are correlated here, not their ranks.

    Args:
        content: a parsed annotation file in the format of COCO or LVIS.
        results: detections, as in
            :func:`rankdet.evaluation.matching.match_images`.
        task: "bbox" or "segm".
        max_dets_per_image: only so many detections of an image count; None: all.

    Returns:
        Values per class and their means. A class without objects is nan and in no mean. A class
        whose objects are best left undetected has oLRP and oLRP_FN 100; its oLRP_Loc and oLRP_FP
        are nan. The correlation is over all true positives, of any score; it is nan for a class
        where all scores or all IoUs are equal. A mean over no class is nan.

    Raises:
        ValueError: see :func:`rankdet.evaluation.matching.match_images`.
    """
    matches = match_detections(content, results, task, max_dets_per_image=max_dets_per_image)
    per_class: dict[str, list[float]] = defaultdict(list)
    for of_class in _by_class(matches, content["categories"]):
        for name, value in _class_values(of_class).items():
            per_class[name].append(value)
    arrays = {name: np.array(values) for name, values in per_class.items()}
    return LRPScores(_metrics(arrays, content["categories"]), arrays)


def optimal_lrp(scores: FloatArray, ious: FloatArray, num_objects: int) -> OptimalLRP:
    """Find the score threshold with the least LRP error of one class.

    LRP(s) = (sum over true positives of (1 - IoU) / (1 - tau) + N_FP + N_FN) / (N_TP + N_FP + N_FN)
    for the detections with a score of at least s (Oksuz et al. 2018, Eq. 3; aLRP, Eq. 6). Every
    distinct score is tried, and infinity; the authors' code tries 0, 0.01, ..., 1. Of equally good
    thresholds the highest counts.

    Args:
        scores: ``(D,)``, any real.
        ious: ``(D,)``, IoU with the object that the detection matches; below tau: false positive.
        num_objects: number of objects that should be detected, at least that of the matches.

    Returns:
        The error and its parts, all nan without objects.
    """
    if not num_objects:
        return OptimalLRP(*[float("nan")] * len(OptimalLRP._fields))
    is_tp = ious >= TP_IOU
    # Equal scores can't be told apart by a threshold, so they come in together.
    negated, group = np.unique(-scores, return_inverse=True)

    def kept(values: npt.NDArray[np.generic]) -> FloatArray:
        return np.append(0, np.cumsum(np.bincount(group, values, minlength=len(negated))))

    num_tp, num_fp = kept(is_tp), kept(~is_tp)
    distance = kept(np.where(is_tp, 1 - ious, 0))
    num_fn = num_objects - num_tp
    error = (distance / (1 - TP_IOU) + num_fp + num_fn) / (num_objects + num_fp)
    best = int(error.round(12).argmin())  # Rounding must not decide between the equally good.
    found = num_tp[best] or float("nan")
    return OptimalLRP(
        error=float(error[best]),
        localization=float(distance[best] / found),
        false_positive=float(num_fp[best] / (found + num_fp[best])),
        false_negative=float(num_fn[best] / num_objects),
        threshold=float(np.append(np.inf, -negated)[best]),
    )


def score_iou_correlation(scores: FloatArray, ious: FloatArray) -> float:
    """Pearson correlation of the score and the IoU of true positives.

    Args:
        scores: ``(D,)``, any real.
        ious: ``(D,)``, IoU with the object that the detection matches; below tau: false positive.

    Returns:
        In [-1, 1]; nan where all true positives have the same score or the same IoU.
    """
    is_tp = ious >= TP_IOU
    pair = np.stack([scores[is_tp], ious[is_tp]])
    if not is_tp.any() or (pair.max(axis=1) == pair.min(axis=1)).any():
        return float("nan")
    correlations: FloatArray = np.asarray(np.corrcoef(pair))
    return float(correlations[0, 1])


def _by_class(matches: Matches, categories: list[Record]) -> Iterator[_ClassMatches]:
    """The matches of each class, in the order of the category ids."""
    order = np.argsort(matches.classes, kind="stable")
    ids = np.array(sorted(category["id"] for category in categories))
    for class_id, start, end in zip(
        ids.tolist(), *np.searchsorted(matches.classes[order], [ids, ids + 1]), strict=True
    ):
        rows = order[start:end]
        yield _ClassMatches(matches.scores[rows], matches.ious[rows], matches.num_objects[class_id])


def _class_values(matches: _ClassMatches) -> dict[str, float]:
    best = optimal_lrp(*matches)
    return {
        "oLRP": 100 * best.error,
        "oLRP_Loc": 100 * best.localization,
        "oLRP_FP": 100 * best.false_positive,
        "oLRP_FN": 100 * best.false_negative,
        "score_iou_correlation": score_iou_correlation(matches.scores, matches.ious),
        "threshold": best.threshold,
    }


def _metrics(per_class: dict[str, FloatArray], categories: list[Record]) -> dict[str, float]:
    metrics = {name: _mean(values) for name, values in per_class.items() if name != "threshold"}
    groups = class_groups(categories)
    ids = groups.pop("all")
    for name, members in groups.items():
        metrics[f"oLRP{name}"] = _mean(per_class["oLRP"][np.isin(ids, members)])
    return metrics


def _mean(values: FloatArray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
