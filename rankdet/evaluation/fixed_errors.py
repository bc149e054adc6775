"""Computes what AP each class would have if some errors of a detector were fixed."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rankdet.data.annotation_file import Record
from rankdet.evaluation.error_kinds import DetectionKind
from rankdet.evaluation.judged_detections import BoolArray, IntArray

MOVED = (DetectionKind.CLASSIFICATION, DetectionKind.LOCALIZATION)
"""A fix turns these errors into true positives; it removes all other errors."""

EMPTY: IntArray = np.zeros(0, dtype=np.int64)


class JudgedDetections(NamedTuple):
    """Detections that AP sees, the highest score first; all ``(N,)``."""

    numbers: IntArray
    """Index into the results."""
    classes: IntArray
    """Category id."""
    kinds: IntArray
    """Values of :class:`rankdet.evaluation.error_kinds.DetectionKind`."""
    targets: IntArray
    """Index into the annotations of the object that the detection is about; -1: none."""

    def select(self, rows: IntArray | BoolArray) -> "JudgedDetections":
        """Keep some rows."""
        return JudgedDetections(*(values[rows] for values in self))


def average_precision(is_right: BoolArray, num_objects: int) -> float:
    """AP of one class by 101 recalls, as COCO and LVIS compute it.

    Args:
        is_right: ``(D,)`` whether each detection finds an object, the highest score first.
        num_objects: number of objects to be found, no less than the right detections.

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


class ErrorFixer:
    """Fixes errors as :func:`rankdet.evaluation.error_analysis.analyze_errors` defines it.

    Args:
        detections: ``(N,)``, of all images.
        objects: ``(G,)`` indices into the annotations of the objects to be found.
        annotations: ``(A,)``, with ``category_id``.
    """

    def __init__(
        self, detections: JudgedDetections, objects: IntArray, annotations: list[Record]
    ) -> None:
        self.detections = detections.select(detections.kinds != DetectionKind.IGNORED)
        """The detections that are right or wrong."""
        self._object_classes = np.array([a["category_id"] for a in annotations], dtype=np.int64)
        is_about = np.isin(detections.kinds, (DetectionKind.TRUE_POSITIVE, *MOVED))
        self.missed = np.setdiff1d(objects, detections.targets[is_about])
        """Indices into the annotations."""
        self._num_objects = self._count_objects(objects)
        self._rows = _rows_by_class(self.detections.classes)
        nothing = np.zeros(len(self.detections.kinds), dtype=bool)
        self.aps = self._class_aps(self.detections, nothing, self._num_objects)
        """AP in per cent by category id, of the classes with objects; nothing is fixed."""

    def lost(self, kind: DetectionKind) -> dict[int, float]:
        """Points of AP of each class that fixing all errors of a kind would bring."""
        num_gone = self._count_objects(self.missed if kind == DetectionKind.MISS else EMPTY)
        num_objects = {c: num - num_gone[c] for c, num in self._num_objects.items()}
        fixed = self._class_aps(self.detections, self.detections.kinds == kind, num_objects)
        return {c: fixed[c] - ap for c, ap in self.aps.items()}

    def num_errors(self, kind: DetectionKind) -> Counter[int]:
        """Count the detections of each class that have an error; for misses, the objects."""
        if kind == DetectionKind.MISS:
            return self._count_objects(self.missed)
        return Counter(self.detections.classes[self.detections.kinds == kind].tolist())

    def confused_pairs(self) -> Counter[tuple[int, int]]:
        """Number of classification errors by class of the object and of the detection."""
        wrong = self.detections.select(self.detections.kinds == DetectionKind.CLASSIFICATION)
        true_ids = self._object_classes[wrong.targets].tolist()
        return Counter(zip(true_ids, wrong.classes.tolist(), strict=True))

    def cost(self, true_id: int, predicted_id: int) -> float:
        """Points of mean AP that fixing the classification errors of one pair would bring."""
        # Only the AP of these two changes.
        pair = (true_id, predicted_id)
        rows = np.concatenate([self._rows.get(c, EMPTY) for c in pair])
        detections = self.detections.select(np.sort(rows))
        is_fixed = detections.kinds == DetectionKind.CLASSIFICATION
        is_fixed &= detections.classes == predicted_id
        is_fixed &= self._object_classes[detections.targets] == true_id
        num_objects = {c: self._num_objects[c] for c in pair if c in self._num_objects}
        fixed = self._class_aps(detections, is_fixed, num_objects)
        return sum(ap - self.aps[c] for c, ap in fixed.items()) / len(self.aps)

    def _class_aps(
        self, detections: JudgedDetections, is_fixed: BoolArray, num_objects: Mapping[int, int]
    ) -> dict[int, float]:
        """AP by class with some errors of the detections fixed."""
        is_moved = is_fixed & np.isin(detections.kinds, MOVED)
        finders = np.flatnonzero(is_moved | (detections.kinds == DetectionKind.TRUE_POSITIVE))
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


def _rows_by_class(classes: IntArray) -> dict[int, IntArray]:
    """The rows of each class, in their order."""
    order = np.argsort(classes, kind="stable")
    ids, starts = np.unique(classes[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=bool(ids.size)))
