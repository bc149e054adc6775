"""How much AP each kind of error costs, and which classes are taken for which."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from rankdet.evaluation.detection_matches import (
    BoolArray,
    IntArray,
    class_groups,
    match_images,
)
from rankdet.evaluation.error_kinds import ERRORS, Kind, kinds_of_image
from rankdet.evaluation.matching import Record

MOVED = (Kind.CLASSIFICATION, Kind.LOCALIZATION)
"""Errors that fixing makes true positives; it removes the others."""

EMPTY: IntArray = np.zeros(0, dtype=np.int64)


class GroupErrors(NamedTuple):
    """Errors of a group of classes."""

    num_classes: int
    """Those with objects; only they have an AP."""
    ap50: float
    """Per cent; nan without such classes."""
    lost: dict[str, float]
    """Points of AP50 that fixing one kind of error alone would bring, by kind; nan as above."""
    num_errors: dict[str, int]
    """By kind: of detections of these classes and, misses, of objects of these classes."""


class Confusion(NamedTuple):
    """Objects of one class detected as another."""

    true_id: int
    predicted_id: int
    num_detections: int
    cost: float
    """Points of AP50, mean over all classes, that fixing these detections alone would bring."""


@dataclass(frozen=True)
class ErrorAnalysis:
    """AP lost by each group of classes, confusions, and the kind of every detection."""

    groups: dict[str, GroupErrors]
    """By "all" and, where the categories have a frequency, "r", "c" and "f"."""
    confusions: list[Confusion]
    """The most costly first."""
    detection_kinds: IntArray
    """(number of results,): values of :class:`rankdet.evaluation.error_kinds.Kind`."""
    detection_objects: IntArray
    """(number of results,): index into the annotations of the object that the detection is about,
    found, found again, or missed in place or class; -1: none."""
    missed_objects: IntArray
    """Indices into the annotations."""
    category_names: dict[int, str]
    """By category id."""

    def to_json(self, max_confusions: int = 100) -> dict[str, Any]:
        """All figures, but not the kinds of single detections; None for what is undefined."""
        names = self.category_names
        return {
            "groups": {
                name: {
                    "num_classes": group.num_classes,
                    "ap50": _or_none(group.ap50),
                    "lost": {kind: _or_none(points) for kind, points in group.lost.items()},
                    "num_errors": group.num_errors,
                }
                for name, group in self.groups.items()
            },
            "confusions": [
                {
                    **pair._asdict(),
                    "true_name": names[pair.true_id],
                    "predicted_name": names[pair.predicted_id],
                }
                for pair in self.confusions[:max_confusions]
            ],
        }


def analyse_errors(
    content: Record, results: Sequence[Record], task: str, *, max_dets_per_image: int | None = 300
) -> ErrorAnalysis:
    """Tell what AP50 is lost to each kind of error, by fixing one kind while the others stay.

    The kinds are those of :class:`rankdet.evaluation.error_kinds.Kind`. To fix

    - a classification error gives the detection the class of its object, and a localization error
      its place: a true positive with the same score. Of several that find the same object then,
      the highest-scoring one stays and the others go;
    - a duplicate, a detection on background or one with both errors removes it;
    - a miss takes the object from the number of objects to be found. A class that had nothing but
      misses then has AP 100.

    No fix lowers AP, and all of them together give 100; but the points lost don't add up to
    100 - AP50, because AP is not linear.

    Federated annotations: a detection of a class that was not looked for in the image, or not
    exhaustively, is no error, as AP does not see it; an object that nothing else overlaps is
    missed. So confusions with a class count only where that class was looked for.

    The cost of a confusion is what fixing the classification errors of that one pair of classes
    would add to the mean AP50 of all classes. It lies in the AP of the two: the one misses the
    detection, the other has a false positive more.

    Source: Bolya et al., "TIDE", ECCV 2020, section 2. Its release (tidecv 1.0.1) drops a fixed
    detection whose object was found, even by one of a lower score; here, as in the paper, the
    lower score goes. There, regions to ignore stand for the rules of LVIS.

    Args:
        content: A parsed annotation file in the format of COCO or LVIS. It is not changed.
        results: Detections with `image_id`, `category_id`, `score` and `bbox` (x, y, width,
            height) or `segmentation` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox" or "segm".
        max_dets_per_image: Only so many detections of an image count, the highest-scoring ones
            of all categories together; None: all.

    Returns:
        The analysis. Its AP50 is that of :func:`rankdet.evaluation.lvis_scoring.score_lvis`.

    Raises:
        ValueError: As :func:`rankdet.evaluation.detection_matches.match_images`.
    """
    detections, objects = _judged(content, results, task, max_dets_per_image)
    kinds, targets = np.full(len(results), int(Kind.NOT_JUDGED)), np.full(len(results), -1)
    kinds[detections.numbers], targets[detections.numbers] = detections.kinds, detections.targets
    what_if = _WhatIf(detections, objects, content["annotations"])
    return ErrorAnalysis(
        groups=what_if.groups(content["categories"]),
        confusions=what_if.confusions(),
        detection_kinds=kinds,
        detection_objects=targets,
        missed_objects=what_if.missed,
        category_names={c["id"]: c.get("name", str(c["id"])) for c in content["categories"]},
    )


def average_precision(is_right: BoolArray, num_objects: int) -> float:
    """AP of one class by 101 recalls, as COCO and LVIS compute it.

    Args:
        is_right: (D,): whether each detection finds an object, the highest score first.
        num_objects: Number of objects to be found, at least that of the detections that are right.

    Returns:
        Per cent; 100 if there is nothing to be found.
    """
    if not num_objects:
        return 100.0
    num_right = np.cumsum(is_right)
    precision = num_right / np.arange(1, len(is_right) + 1)
    reached = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(num_right / num_objects, np.linspace(0, 1, 101))
    return 100 * float(np.append(reached, 0)[first].mean())


class _Detections(NamedTuple):
    """Judged detections, the highest score first; all (N,)."""

    numbers: IntArray
    classes: IntArray
    kinds: IntArray
    targets: IntArray

    def select(self, rows: IntArray) -> "_Detections":
        return _Detections(*(values[rows] for values in self))


def _judged(
    content: Record, results: Sequence[Record], task: str, max_dets_per_image: int | None
) -> tuple[_Detections, IntArray]:
    """The judged detections of all images, and the indices of the objects to be found."""
    scores, columns, objects = [], [], [np.zeros(0, dtype=np.int64)]
    for matches in match_images(content, results, task, max_dets_per_image=max_dets_per_image):
        scores.append(matches.scores)
        columns.append((matches.detections, matches.detection_classes, *kinds_of_image(matches)))
        objects.append(matches.objects)
    # Equal scores are ranked by the image, as in COCO.
    order = np.argsort(-np.concatenate(scores), kind="stable")
    merged = (np.concatenate(column)[order] for column in zip(*columns, strict=True))
    return _Detections(*merged), np.concatenate(objects)


def _rows_by_class(classes: IntArray) -> dict[int, IntArray]:
    """The rows of each class, in their order."""
    order = np.argsort(classes, kind="stable")
    ids, starts = np.unique(classes[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=bool(ids.size)))


class _WhatIf:
    """AP of each class if some errors were fixed."""

    def __init__(
        self, detections: _Detections, objects: IntArray, annotations: list[Record]
    ) -> None:
        self._detections = detections.select(np.flatnonzero(detections.kinds != Kind.IGNORED))
        self._object_classes = np.array([a["category_id"] for a in annotations], dtype=np.int64)
        self._num_objects = self._count_objects(objects)
        is_about = np.isin(detections.kinds, (Kind.TRUE_POSITIVE, *MOVED))
        self.missed = np.setdiff1d(objects, detections.targets[is_about])
        nothing = np.zeros(len(self._detections.kinds), dtype=bool)
        self._aps = self._class_aps(self._detections, nothing, self._num_objects)

    def groups(self, categories: list[Record]) -> dict[str, GroupErrors]:
        """AP50 of each group of classes, what it loses to which errors, and their number."""
        lost = {kind: self._lost(kind) for kind in ERRORS}
        count = {kind: self._count(kind) for kind in ERRORS}
        return {
            name: GroupErrors(
                num_classes=len(self._aps.keys() & members),
                ap50=_mean(self._aps, members),
                lost={kind.name.lower(): _mean(lost[kind], members) for kind in ERRORS},
                num_errors={
                    kind.name.lower(): sum(count[kind].get(c, 0) for c in members)
                    for kind in ERRORS
                },
            )
            for name, members in class_groups(categories).items()
        }

    def confusions(self) -> list[Confusion]:
        """Pairs of classes by what fixing their classification errors alone would bring."""
        is_wrong = self._detections.kinds == Kind.CLASSIFICATION
        wrong = self._detections.select(np.flatnonzero(is_wrong))
        pairs = np.stack([self._object_classes[wrong.targets], wrong.classes], axis=1)
        rows = _rows_by_class(self._detections.classes)
        found = [
            Confusion(true_id, predicted_id, num, self._cost(true_id, predicted_id, rows))
            for (true_id, predicted_id), num in Counter(map(tuple, pairs.tolist())).items()
        ]
        return sorted(found, key=lambda pair: (-pair.cost, pair.true_id, pair.predicted_id))

    def _cost(self, true_id: int, predicted_id: int, rows: dict[int, IntArray]) -> float:
        # Only the AP of these two changes.
        classes = (true_id, predicted_id)
        both = np.concatenate([rows.get(c, EMPTY) for c in classes])
        detections = self._detections.select(np.sort(both))
        is_fixed = (detections.kinds == Kind.CLASSIFICATION) & (detections.classes == predicted_id)
        is_fixed &= self._object_classes[detections.targets] == true_id
        num_objects = {c: num for c, num in self._num_objects.items() if c in classes}
        fixed = self._class_aps(detections, is_fixed, num_objects)
        return sum(ap - self._aps[c] for c, ap in fixed.items()) / len(self._aps)

    def _lost(self, kind: Kind) -> dict[int, float]:
        num_gone = self._count_objects(self.missed if kind == Kind.MISS else EMPTY)
        num_objects = {c: num - num_gone[c] for c, num in self._num_objects.items()}
        fixed = self._class_aps(self._detections, self._detections.kinds == kind, num_objects)
        return {c: fixed[c] - ap for c, ap in self._aps.items()}

    def _count(self, kind: Kind) -> Counter[int]:
        if kind == Kind.MISS:
            return self._count_objects(self.missed)
        return Counter(self._detections.classes[self._detections.kinds == kind].tolist())

    def _class_aps(
        self, detections: _Detections, is_fixed: BoolArray, num_objects: Mapping[int, int]
    ) -> dict[int, float]:
        """AP by class with some errors of the detections fixed."""
        is_moved = is_fixed & np.isin(detections.kinds, MOVED)
        finders = np.flatnonzero(is_moved | (detections.kinds == Kind.TRUE_POSITIVE))
        _, first = np.unique(detections.targets[finders], return_index=True)
        is_right = np.zeros(len(is_fixed), dtype=bool)
        is_right[finders[first]] = True
        is_gone = is_fixed.copy()
        is_gone[finders] = True
        kept = np.flatnonzero(is_right | ~is_gone)
        classes = detections.classes.copy()
        classes[is_right] = self._object_classes[detections.targets[is_right]]
        rows = _rows_by_class(classes[kept])
        return {
            c: average_precision(is_right[kept[rows.get(c, EMPTY)]], num)
            for c, num in num_objects.items()
        }

    def _count_objects(self, objects: IntArray) -> Counter[int]:
        return Counter(self._object_classes[objects].tolist())


def _mean(values: dict[int, float], members: list[int]) -> float:
    defined = [values[c] for c in members if c in values]
    return sum(defined) / len(defined) if defined else float("nan")


def _or_none(value: float) -> float | None:
    return None if isnan(value) else value
