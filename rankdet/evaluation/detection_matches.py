"""Which detection finds which object, image by image, with the IoUs between all of them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as rle

from rankdet.data.annotation_file import Record
from rankdet.evaluation.annotations import (
    GEOMETRY_FIELD,
    check_lvis_fields,
    is_federated,
    judged_annotations,
)
from rankdet.evaluation.matching import FloatArray, IntArray, check_images, detection_scores
from rankdet.evaluation.prediction_checks import check_limit

BoolArray = npt.NDArray[np.bool_]

TP_IOU = 0.5
"""A detection with this IoU or more can be a true positive; tau in the papers on LRP."""


class ImageMatches(NamedTuple):
    """The detections of an image that count, best first, and its objects without crowds."""

    detections: IntArray
    """(D,): index into the results."""
    detection_classes: IntArray
    """(D,): category id."""
    scores: FloatArray
    """(D,): descending."""
    objects: IntArray
    """(G,): index into the annotations."""
    object_classes: IntArray
    """(G,): category id."""
    ious: FloatArray
    """(D, G): with the objects of every class."""
    matched: IntArray
    """(D,): row of the object that the detection finds; -1: none."""
    is_ignored: BoolArray
    """(D,): neither right nor wrong: on a crowd, or of a class not annotated exhaustively here."""


def match_images(
    content: Record, results: Sequence[Record], task: str, *, max_dets_per_image: int | None = 300
) -> Iterator[ImageMatches]:
    """Match detections to objects at IoU 0.5 as COCO does, judged by the rules of LVIS.

    By descending score, each detection takes the free object of its class with the highest IoU.
    With federated annotations, a detection counts only where its category is known to be present
    or absent, and what has no area never does. What is of none of the categories is left out.
    All this is as in :func:`rankdet.evaluation.lvis_scoring.score_lvis`.

    Args:
        content: A parsed annotation file in the format of COCO or LVIS. It is not changed.
        results: Detections with `image_id`, `category_id`, `score` and `bbox` (x, y, width,
            height) or `segmentation` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox" or "segm".
        max_dets_per_image: Only so many detections of an image count, the highest-scoring ones
            of all categories together; None: all.

    Yields:
        The matches of each image, in the order of the image ids.

    Raises:
        ValueError: The task is another, the limit is not positive, a score is not finite, there are
            no images, the annotations lack a field (see
            :func:`rankdet.evaluation.annotations.check_lvis_fields`) or what the task needs, or
            they do not list a predicted image.
    """
    if task not in ("bbox", "segm"):
        raise ValueError(f"Detections can't be matched by task {task!r}; give 'bbox' or 'segm'.")
    check_limit("max_dets_per_image", max_dets_per_image, may_be_none=True)
    if not content["images"]:
        raise ValueError("The annotation file lists no images; give the one of the dataset.")
    check_lvis_fields(content)
    federated, annotations = is_federated(content), judged_annotations(content, task)
    coco = COCO()  # Holds the sizes of the images, for masks.
    coco.imgs = {image["id"]: image for image in content["images"]}
    scores, detections_by_image = detection_scores(results), _by_image(results)
    check_images(detections_by_image, coco.imgs)
    objects_by_image = _by_image(annotations)
    categories = {category["id"] for category in content["categories"]}
    regions = partial(_regions, coco, task, categories)
    not_exhaustive: list[int] = []
    for image_id, image in sorted(coco.imgs.items()):
        objects = regions([(i, annotations[i]) for i in objects_by_image[image_id]])
        # A table makes a dict each time that one is asked for.
        best = sorted(detections_by_image[image_id], key=scores.__getitem__, reverse=True)
        detections = regions([(i, results[i]) for i in best[:max_dets_per_image]])
        if federated:
            objects = [region for region in objects if region.record["area"] > 0]
            judged = {*image["neg_category_ids"], *_classes(objects).tolist()}
            detections = [d for d in detections if d.record["category_id"] in judged]
            detections = [d for d in detections if _area(d.geometry) > 0]
            not_exhaustive = image["not_exhaustive_category_ids"]
        yield _match(detections, objects, not_exhaustive)


def _by_image(records: Sequence[Record]) -> dict[int | str, list[int]]:
    by_image = defaultdict(list)
    for number, record in enumerate(records):
        by_image[record["image_id"]].append(number)
    return by_image


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
    """(D, G): IoU; with a crowd, the share of the detection that lies in it."""
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
