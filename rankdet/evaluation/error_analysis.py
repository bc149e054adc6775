"""Error analysis: AP lost to each kind of error, and which classes are confused."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from rankdet.data.annotation_file import Record
from rankdet.data.frequency_groups import class_groups
from rankdet.evaluation.error_kinds import ERRORS, DetectionKind, kinds_of_image
from rankdet.evaluation.fixed_errors import ErrorFixer, JudgedDetections
from rankdet.evaluation.judged_detections import IntArray
from rankdet.evaluation.matching import match_images

MAX_CONFUSIONS = 100
"""So many are written, the most costly ones."""


class GroupErrors(NamedTuple):
    """Errors of a group of classes."""

    num_classes: int
    """Number of classes with objects; only they have an AP."""
    ap50: float
    """Per cent; nan without such classes."""
    lost: dict[str, float]
    """Points of AP50 that fixing one kind of error alone would bring, by kind; nan as above."""
    num_errors: dict[str, int]
    """By kind: number of detections of these classes; of misses, of objects of these classes."""


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
    """(number of results,): values of :class:`rankdet.evaluation.error_kinds.DetectionKind`."""
    detection_objects: IntArray
    """(number of results,): index into the annotations of the object that the detection is about,
    found, found again, or missed in place or class; -1: none."""
    missed_objects: IntArray
    """Indices into the annotations."""
    category_names: dict[int, str]
    """By category id."""

    def to_json(self) -> dict[str, Any]:
        """All figures except the kinds of single detections; None: undefined."""
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
                for pair in self.confusions[:MAX_CONFUSIONS]
            ],
        }


def analyze_errors(
    content: Record, results: Sequence[Record], task: str, *, max_dets_per_image: int | None = 300
) -> ErrorAnalysis:
    """Compute the AP50 lost to each kind of error, by fixing one kind while the others stay.

    The kinds are those of :class:`rankdet.evaluation.error_kinds.DetectionKind`. To fix

    - a classification error, the detection gets the class of its object; to fix a localization
      error, it gets the place of its object. It becomes a true positive with the same score. If
      several detections find the same object then, the one with the highest score stays and the
      others are removed;
    - a duplicate, a detection on background or one with both errors, it is removed;
    - a miss, the object is removed from the objects to be found. A class that had only misses then
      has AP 100.

    No fix lowers AP, and all of them together give 100; but the points lost don't add up to
    100 - AP50, because AP is not linear.

    With federated annotations, a detection is no error if its class was not looked for in the
    image, or not exhaustively, because AP does not see such a detection. An object that no other
    detection overlaps is missed. So confusions with a class count only where that class was looked
    for.

    The cost of a confusion is what fixing the classification errors of that one pair of classes
    would add to the mean AP50 of all classes. Only the AP of these two classes changes: the true
    class misses the detection, and the predicted class has one false positive more.

    Source: Bolya et al., "TIDE", ECCV 2020, section 2. Its release (tidecv 1.0.1) drops a fixed
    detection whose object was found, even by one of a lower score; here, as in the paper, the
    lower score goes. There, regions to ignore stand for the rules of LVIS.

    Args:
        content: a parsed annotation file in the format of COCO or LVIS.
        results: detections, as in
            :func:`rankdet.evaluation.matching.match_images`.
        task: "bbox" or "segm".
        max_dets_per_image: only so many detections of an image count; None: all.

    Returns:
        The analysis. Its AP50 is that of :func:`rankdet.evaluation.lvis_scoring.score_lvis`.

    Raises:
        ValueError: see :func:`rankdet.evaluation.matching.match_images`.
    """
    detections, objects = _judged(content, results, task, max_dets_per_image)
    kinds, targets = np.full(len(results), int(DetectionKind.NOT_JUDGED)), np.full(len(results), -1)
    kinds[detections.numbers], targets[detections.numbers] = detections.kinds, detections.targets
    fixer = ErrorFixer(detections, objects, content["annotations"])
    confusions = [
        Confusion(*pair, num_detections, fixer.cost(*pair))
        for pair, num_detections in fixer.confused_pairs().items()
    ]
    return ErrorAnalysis(
        groups=_groups(fixer, content["categories"]),
        confusions=sorted(confusions, key=lambda pair: -pair.cost),
        detection_kinds=kinds,
        detection_objects=targets,
        missed_objects=fixer.missed,
        category_names={c["id"]: c.get("name", str(c["id"])) for c in content["categories"]},
    )


def _judged(
    content: Record, results: Sequence[Record], task: str, max_dets_per_image: int | None
) -> tuple[JudgedDetections, IntArray]:
    """The judged detections of all images, and the indices of the objects to be found."""
    scores, columns, objects = [], [], [np.zeros(0, dtype=np.int64)]
    for matches in match_images(content, results, task, max_dets_per_image=max_dets_per_image):
        scores.append(matches.scores)
        columns.append((matches.detections, matches.detection_classes, *kinds_of_image(matches)))
        objects.append(matches.objects)
    # Equal scores are ranked by the image, as in COCO.
    order = np.argsort(-np.concatenate(scores), kind="stable")
    merged = (np.concatenate(column)[order] for column in zip(*columns, strict=True))
    return JudgedDetections(*merged), np.concatenate(objects)


def _groups(fixer: ErrorFixer, categories: list[Record]) -> dict[str, GroupErrors]:
    lost = {kind: fixer.lost(kind) for kind in ERRORS}
    num_errors = {kind: fixer.num_errors(kind) for kind in ERRORS}
    return {
        name: GroupErrors(
            num_classes=len(fixer.aps.keys() & members),
            ap50=_mean(fixer.aps, members),
            lost={kind.name.lower(): _mean(lost[kind], members) for kind in ERRORS},
            num_errors={
                kind.name.lower(): sum(num_errors[kind][c] for c in members) for kind in ERRORS
            },
        )
        for name, members in class_groups(categories).items()
    }


def _mean(values: dict[int, float], members: list[int]) -> float:
    defined = [values[c] for c in members if c in values]
    return sum(defined) / len(defined) if defined else float("nan")


def _or_none(value: float) -> float | None:
    return None if isnan(value) else value
