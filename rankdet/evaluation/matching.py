"""Which detection finds which object: the one matcher behind oLRP, errors and score calibration.

By descending score, each detection takes the free object of its class with the highest IoU, if that
is 0.5 or more, as in COCO; what counts at all is decided by the rules of LVIS.

AP alone has another matcher, that of faster-coco-eval
(:mod:`rankdet.evaluation.category_evaluation`). It matches by the same rule at ten IoU thresholds
and for four ranges of areas, one class at a time, in compiled code, which makes it fast. It can't
serve here, because error analysis needs the IoU with objects of other classes, and detections of
classes without objects. Tests compare the AP50 of both.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as rle

from rankdet.data.annotation_file import Record
from rankdet.evaluation.annotations import GEOMETRY_FIELD, check_lvis_fields, is_federated
from rankdet.evaluation.judged_detections import (
    BoolArray,
    FloatArray,
    IntArray,
    Judged,
    judged_detections,
)

TP_IOU = 0.5
"""A detection with this IoU or more can be a true positive; tau in the papers on LRP."""


class ImageMatches(NamedTuple):
    """The detections of an image that count, best first, and its objects without crowds."""

    detections: IntArray
    """``(D,)`` index into the results."""
    detection_classes: IntArray
    """``(D,)`` category id."""
    scores: FloatArray
    """``(D,)`` descending."""
    objects: IntArray
    """``(G,)`` index into the annotations."""
    object_classes: IntArray
    """``(G,)`` category id."""
    ious: FloatArray
    """``(D, G)`` with the objects of every class."""
    matched: IntArray
    """``(D,)`` column of the object that the detection finds; -1: none."""
    is_ignored: BoolArray
    """``(D,)`` neither right nor wrong: on a crowd, or of a class not annotated exhaustively."""


class Matches(NamedTuple):
    """The detections of all images that are right or wrong, in the order of the results."""

    classes: IntArray
    """``(D,)`` category id."""
    scores: FloatArray
    """``(D,)``."""
    ious: FloatArray
    """``(D,)`` IoU with the object that the detection finds; 0: none."""
    num_objects: Counter[int]
    """Of each category id, without crowds."""


def match_images(
    content: Record, results: Sequence[Record], task: str, *, max_dets_per_image: int | None = 300
) -> Iterator[ImageMatches]:
    """Match detections to objects at IoU 0.5 as COCO does, judged by the rules of LVIS.

    With federated annotations, a detection counts only where its category is known to be present
    or absent, and what has no area never does. What is of none of the categories is left out.
    All this is as in :func:`rankdet.evaluation.lvis_scoring.score_lvis`.

    Args:
        content: a parsed annotation file in the format of COCO or LVIS. It is not changed.
        results: detections with ``image_id``, ``category_id``, ``score`` and ``bbox`` (x, y, width,
            height) or ``segmentation`` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox" or "segm".
        max_dets_per_image: only so many detections of an image count, the highest-scoring ones
            of all categories together; None: all.

    Yields:
        The matches of each image, in the order of the image ids.

    Raises:
        ValueError: the task is another, the limit is not positive, a score is not finite, there are
            no images, the annotations lack a field (see
            :func:`rankdet.evaluation.annotations.check_lvis_fields`) or what the task needs, or
            they do not list a predicted image.
    """
    if task not in ("bbox", "segm"):
        raise ValueError(f"Detections can't be matched by task {task!r}; give 'bbox' or 'segm'.")
    if not content["images"]:
        raise ValueError("The annotation file lists no images; give the one of the dataset.")
    check_lvis_fields(content)
    federated = is_federated(content)
    judged = judged_detections(content, results, task, max_dets_per_image=max_dets_per_image)
    coco = COCO()  # Holds the sizes of the images, for masks.
    coco.imgs = {image["id"]: image for image in judged.images}
    categories = {category["id"] for category in content["categories"]}
    regions = partial(_regions, coco, task, categories)
    of_image = zip(judged.images, _objects(judged), _best_detections(judged), strict=True)
    for image, object_numbers, numbers in of_image:
        objects = regions([(i, judged.annotations[i]) for i in object_numbers])
        detections = regions([(i, results[i]) for i in numbers])
        if federated:
            detections = [d for d in detections if _area(d.geometry) > 0]
        yield _match(detections, objects, image["not_exhaustive_category_ids"] if federated else [])


def match_detections(
    content: Record, results: Sequence[Record], task: str, *, max_dets_per_image: int | None = 300
) -> Matches:
    """Match the detections of all images, without those that are neither right nor wrong.

    Args:
        content: see :func:`match_images`.
        results: see there.
        task: "bbox" or "segm".
        max_dets_per_image: see there.

    Raises:
        ValueError: see there.
    """
    columns: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
    num_objects: Counter[int] = Counter()
    for one in match_images(content, results, task, max_dets_per_image=max_dets_per_image):
        num_objects.update(one.object_classes.tolist())
        judged = ~one.is_ignored
        ious = _take_columns(one.ious, one.matched)[judged]
        columns.append(
            (one.detections[judged], one.detection_classes[judged], one.scores[judged], ious)
        )
    numbers, classes, scores, ious = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    order = np.argsort(numbers)
    return Matches(classes[order], scores[order], ious[order], num_objects)


def _take_columns(values: FloatArray, columns: IntArray) -> FloatArray:
    """One value of each row; of column -1: 0."""
    return np.pad(values, ((0, 0), (0, 1)))[np.arange(len(values)), columns]


def _objects(judged: Judged) -> Iterator[list[int]]:
    """Of each image, the indices of its annotations that count."""
    images = judged.object_images[judged.objects]
    order = np.argsort(images, kind="stable")
    return _split(judged.objects[order], images[order], len(judged.images))


def _best_detections(judged: Judged) -> Iterator[list[int]]:
    """Of each image, the indices of its detections, the highest score first."""
    images = judged.columns.images[judged.detections]
    order = np.lexsort((-judged.columns.scores[judged.detections], images))
    return _split(judged.detections[order], images[order], len(judged.images))


def _split(indices: IntArray, images: IntArray, num_images: int) -> Iterator[list[int]]:
    bounds = np.searchsorted(images, np.arange(num_images + 1)).tolist()
    return (indices[start:end].tolist() for start, end in pairwise(bounds))


class _Region(NamedTuple):
    number: int
    record: Record
    geometry: Any
    """A box (x, y, width, height) or an RLE."""


def _regions(
    coco: COCO, task: str, categories: set[int], records: list[tuple[int, Record]]
) -> list[_Region]:
    """Those records that are of a category and have what the task needs."""
    return [
        _Region(number, record, coco.annToRLE(record) if task == "segm" else record["bbox"])
        for number, record in records
        if record["category_id"] in categories and GEOMETRY_FIELD[task] in record
    ]


def _area(geometry: Any) -> float:
    return float(rle.area(geometry) if isinstance(geometry, dict) else geometry[2] * geometry[3])


def _match(
    detections: list[_Region], objects: list[_Region], not_exhaustive: list[int]
) -> ImageMatches:
    is_crowd = np.array([bool(o.record.get("iscrowd")) for o in objects], dtype=bool)
    classes, object_classes = _classes(detections), _classes(objects)
    ious = _ious(detections, objects, is_crowd)
    of_class = np.where(classes[:, None] == object_classes, ious, 0)
    matched = _greedy_matches(of_class[:, ~is_crowd])
    may_be_right = np.isin(classes, not_exhaustive) | (of_class[:, is_crowd] >= TP_IOU).any(axis=1)
    return ImageMatches(
        detections=_numbers(detections),
        detection_classes=classes,
        scores=np.array([d.record["score"] for d in detections], dtype=float),
        objects=_numbers(objects)[~is_crowd],
        object_classes=object_classes[~is_crowd],
        ious=ious[:, ~is_crowd],
        matched=matched,
        is_ignored=(matched < 0) & may_be_right,
    )


def _numbers(regions: list[_Region]) -> IntArray:
    return np.array([region.number for region in regions], dtype=np.int64)


def _classes(regions: list[_Region]) -> IntArray:
    return np.array([region.record["category_id"] for region in regions], dtype=np.int64)


def _ious(detections: list[_Region], objects: list[_Region], is_crowd: BoolArray) -> FloatArray:
    """``(D, G)`` IoU; with a crowd, the share of the detection that lies in it."""
    if not detections or not objects:
        return np.zeros((len(detections), len(objects)))
    found, truth = (
        geometries if isinstance(geometries[0], dict) else np.array(geometries, dtype=float)
        for geometries in ([region.geometry for region in side] for side in (detections, objects))
    )
    ious: FloatArray = rle.iou(found, truth, is_crowd.tolist())
    return ious


def _greedy_matches(ious: FloatArray) -> IntArray:
    """The column that each row takes, in order, of equal ones the last, as in COCO; -1: none."""
    matched = np.full(len(ious), -1)
    free = np.ones(ious.shape[1], dtype=bool)
    for row in np.flatnonzero((ious >= TP_IOU).any(axis=1)):
        reachable = np.flatnonzero(free & (ious[row] >= TP_IOU))
        if reachable.size:
            best = reachable[::-1][ious[row, reachable[::-1]].argmax()]
            matched[row], free[best] = best, False
    return matched
