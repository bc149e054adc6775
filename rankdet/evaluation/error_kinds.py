"""The kind of each detection: right, or one of TIDE's errors; for federated annotations, too."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from rankdet.evaluation.judged_detections import FloatArray, IntArray
from rankdet.evaluation.matching import TP_IOU, ImageMatches

BACKGROUND_IOU = 0.1
"""A detection that overlaps every object by less is on background."""


class DetectionKind(IntEnum):
    """Kinds of detections, and of objects that none of them is about."""

    CLASSIFICATION = 0
    """It overlaps an object of another class with an IoU of at least 0.5."""
    LOCALIZATION = 1
    """It overlaps an object of its class with an IoU in [0.1, 0.5)."""
    BOTH = 2
    """It overlaps an object of another class with an IoU in [0.1, 0.5)."""
    DUPLICATE = 3
    """It overlaps an object of its class with at least 0.5, which a better one found."""
    BACKGROUND = 4
    """It overlaps every object by less than 0.1."""
    MISS = 5
    """An object that no true positive, classification or localization error is about."""
    TRUE_POSITIVE = 6
    """It finds an object."""
    IGNORED = 7
    """It is neither right nor wrong: on a crowd, or of a class not annotated exhaustively there."""
    NOT_JUDGED = 8
    """AP does not see it: its class was not looked for in the image, or it is one too many."""


ERRORS = tuple(DetectionKind)[: DetectionKind.TRUE_POSITIVE]


class KindsOfImage(NamedTuple):
    """Kinds of the detections of one image, and the objects they are about."""

    kinds: IntArray
    """``(D,)`` values of ``DetectionKind``."""
    targets: IntArray
    """``(D,)`` index into the annotations of the object; -1: none."""


def kinds_of_image(matches: ImageMatches) -> KindsOfImage:
    """Find the kind of every detection of an image.

    Where several kinds of errors fit, the first one counts in this order: localization,
    classification, duplicate, background, both. That is the order of TIDE's release (tidecv 1.0.1).

    Args:
        matches: the detections of the image, its objects and their IoUs.

    Returns:
        Kinds and objects in the order of the detections.
    """
    of_class = matches.detection_classes[:, None] == matches.object_classes
    own_iou, own = _best(np.where(of_class, matches.ious, 0), matches.objects)
    other_iou, other = _best(np.where(of_class, 0, matches.ious), matches.objects)
    found = np.append(matches.objects, -1)[matches.matched]
    none = np.full_like(found, -1)
    cases = [
        (matches.is_ignored, DetectionKind.IGNORED, none),
        (matches.matched >= 0, DetectionKind.TRUE_POSITIVE, found),
        ((own_iou >= BACKGROUND_IOU) & (own_iou < TP_IOU), DetectionKind.LOCALIZATION, own),
        (other_iou >= TP_IOU, DetectionKind.CLASSIFICATION, other),
        (own_iou >= TP_IOU, DetectionKind.DUPLICATE, own),
        (other_iou < BACKGROUND_IOU, DetectionKind.BACKGROUND, none),
    ]
    conditions, kinds, targets = zip(*cases, strict=True)
    return KindsOfImage(
        np.select(conditions, [int(kind) for kind in kinds], default=int(DetectionKind.BOTH)),
        np.select(conditions, targets, default=other),
    )


def _best(ious: FloatArray, objects: IntArray) -> tuple[FloatArray, IntArray]:
    """The highest IoU of each detection, and the object it is with; 0 and -1 without objects."""
    padded = np.pad(ious, ((0, 0), (0, 1)))
    return padded.max(axis=1), np.append(objects, -1)[padded.argmax(axis=1)]
