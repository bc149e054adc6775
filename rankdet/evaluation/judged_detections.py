"""Which detections and objects the metrics judge, by the rules of LVIS or of COCO."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rankdet.data.annotation_file import Record
from rankdet.evaluation.annotations import is_federated, judged_annotations
from rankdet.evaluation.argument_checks import check_limit
from rankdet.evaluation.detection_table import DetectionTable
from rankdet.evaluation.prediction_checks import check_images

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Columns(NamedTuple):
    """The D detections without their geometry."""

    images: IntArray
    """``(D,)`` number of the image."""
    categories: IntArray
    """``(D,)`` category id."""
    scores: FloatArray
    """``(D,)``."""


class Judged(NamedTuple):
    """What of the annotations and the results a metric looks at."""

    images: list[Record]
    """In the order of their ids, numbered from 0."""
    annotations: list[Record]
    """All A of the annotation file, as the task judges them."""
    objects: IntArray
    """Ascending indices into the annotations: those that count."""
    object_images: IntArray
    """``(A,)`` number of the image of each annotation."""
    columns: Columns
    """Of all D results."""
    detections: IntArray
    """Ascending indices into the results: those that count."""


def judged_detections(
    content: Record,
    results: Sequence[Record],
    task: str,
    *,
    max_dets_per_image: int | None,
    max_dets_per_class: int | None = None,
) -> Judged:
    """Choose the objects and the detections that count.

    First the limits drop the detections that are too many. Then, where the annotations are
    federated, detections count only if their category is known to be present in the image, or
    absent; and annotations count only if they have an area.

    Args:
        content: a parsed annotation file. It is not changed.
        results: D detections with ``image_id``, ``category_id`` and ``score``.
        task: "bbox", "segm" or "boundary".
        max_dets_per_image: only so many detections of an image count, the highest-scoring ones
            of all categories together; None: all.
        max_dets_per_class: only so many detections of a category count, the highest-scoring ones
            of all images together; None: all.

    Raises:
        ValueError: a limit is not positive, a score is not finite, the annotations lack what the
            task needs, or they do not list a predicted image.
    """
    check_limit("max_dets_per_image", max_dets_per_image, may_be_none=True)
    check_limit("max_dets_per_class", max_dets_per_class, may_be_none=True)
    annotations = judged_annotations(content, task)
    # Sorted: metrics rank equal scores by the image.
    images = sorted(content["images"], key=lambda image: image["id"])
    numbers = {image["id"]: number for number, image in enumerate(images)}
    object_images = _as_array([numbers[one["image_id"]] for one in annotations])
    objects = np.arange(len(annotations))
    columns = _columns(results, numbers)
    detections = _within_limits(columns, max_dets_per_image, max_dets_per_class)
    if is_federated(content):
        objects = np.flatnonzero([one["area"] > 0 for one in annotations])
        present = {(int(object_images[i]), annotations[i]["category_id"]) for i in objects.tolist()}
        absent = ((i, c) for i, image in enumerate(images) for c in image["neg_category_ids"])
        pairs = np.array(sorted(present.union(absent)), np.int64).reshape(-1, 2)
        detections = _of_pairs(detections, columns, pairs)
    return Judged(images, annotations, objects, object_images, columns, detections)


def _columns(results: Sequence[Record], numbers: dict[int | str, int]) -> Columns:
    image_ids, category_ids = (_column(results, key) for key in ("image_id", "category_id"))
    check_images(image_ids, numbers)
    images = np.fromiter(map(numbers.__getitem__, image_ids), np.int64, len(image_ids))
    return Columns(images, _as_array(category_ids), _scores(results))


def _scores(results: Sequence[Record]) -> FloatArray:
    scores = np.asarray(_column(results, "score"), np.float64)
    is_finite = np.isfinite(scores)
    if not is_finite.all():
        bad = results[int(is_finite.argmin())]
        raise ValueError(
            f"A detection of category {bad['category_id']} in image {bad['image_id']!r} has score "
            f"{bad['score']}; scores must be finite."
        )
    return scores


def _column(results: Sequence[Record], key: str) -> Sequence[Any]:
    return results.column(key) if isinstance(results, DetectionTable) else [r[key] for r in results]


def _as_array(values: Sequence[int]) -> IntArray:
    return np.asarray(values, np.int64)


def _within_limits(columns: Columns, per_image: int | None, per_class: int | None) -> IntArray:
    """The detections that count, in the order of the results."""
    indices = np.arange(len(columns.scores))
    if per_image is not None:
        indices = _best(indices, columns.images, columns.scores, per_image)
    if per_class is not None:
        indices = _best(indices, columns.categories, columns.scores, per_class)
    return indices


def _best(indices: IntArray, groups: IntArray, scores: FloatArray, limit: int) -> IntArray:
    """Those among the highest-scoring of their group; of equal scores the first ones count."""
    # Sorting takes memory, and few groups, if any, are too large.
    ids, sizes = np.unique(groups[indices], return_counts=True)
    crowded = indices[np.isin(groups[indices], ids[sizes > limit])]
    order = crowded[np.lexsort((-scores[crowded], groups[crowded]))]
    start_of_group = np.searchsorted(groups[order], groups[order])
    surplus = order[np.arange(len(order)) - start_of_group >= limit]
    return np.setdiff1d(indices, surplus, assume_unique=True)


def _of_pairs(indices: IntArray, columns: Columns, pairs: IntArray) -> IntArray:
    """Those whose image number and category are one of the pairs ``(P, 2)``."""
    ids = (pairs[:, 1], columns.categories)
    # Ids can be negative.
    width = 1 + max(i.max(initial=0) for i in ids) - min(i.min(initial=0) for i in ids)
    keys = columns.images[indices]
    keys *= width
    keys += columns.categories[indices]
    return indices[np.isin(keys, pairs @ (width, 1))]
