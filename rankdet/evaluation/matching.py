"""Matching detections to ground truth with faster-coco-eval, by the rules of LVIS or of COCO."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core.mask import area as mask_area

from rankdet.data.annotation_file import Record
from rankdet.evaluation.annotations import GEOMETRY_FIELD, judged_annotations
from rankdet.evaluation.detection_table import DetectionTable
from rankdet.evaluation.prediction_checks import check_limit

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ImageNumbers = dict[int | str, int]
"""From 0, by image id."""


class _Columns(NamedTuple):
    """The D detections without their geometry."""

    images: IntArray
    categories: IntArray
    scores: FloatArray


def category_evaluations(
    content: Record,
    results: Sequence[Record],
    task: str,
    max_dets_per_image: int | None,
    *,
    lvis_style: bool,
    max_dets_per_class: int | None = None,
) -> Iterator[COCOeval_faster]:
    """Prepare the evaluation of all detections that count, one category at a time.

    A category that is not annotated gets no detections, as no metric asks for them. Each evaluation
    holds the images where its category is annotated or predicted, and no others:
    faster-coco-eval spends most of its time and memory on pairs of image and category, nearly all
    of which are empty.

    Args:
        content: A parsed annotation file. It is not changed.
        results: Detections with `image_id`, `category_id`, `score` and `bbox` (x, y, width,
            height) or `segmentation` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox", "segm" or "boundary".
        max_dets_per_image: Only so many detections of an image count, the highest-scoring ones
            of all categories together; None: all of them.
        lvis_style: By the rules of LVIS: a detection counts only where its category is known to
            be present or absent, annotations and detections without area never do, and one that
            matches nothing is no error where the category was not annotated exhaustively.
        max_dets_per_class: Only so many detections of a category count, the highest-scoring ones
            of all images together; None: all of them.

    Yields:
        An evaluation per category, in the order of the category ids, whose `evaluate` was not
        called yet. Images are numbered from 0 in the order of their ids, the annotations of the
        category and its detections from 1; that of a detection without area is left out.

    Raises:
        ValueError: There are detections for an image that the annotation file does not list, or
            with a score that is not finite; it lists no categories, an annotation lacks what the
            task needs, there is no such task, or a limit is not positive.
    """
    if task not in GEOMETRY_FIELD:
        raise ValueError(f"task is {task!r}; give one of {', '.join(map(repr, GEOMETRY_FIELD))}.")
    check_limit("max_dets_per_image", max_dets_per_image, may_be_none=True)
    check_limit("max_dets_per_class", max_dets_per_class, may_be_none=True)
    annotations = judged_annotations(content, task)
    if not content["categories"]:
        raise ValueError("The annotation file lists no categories; there is nothing to evaluate.")
    # faster-coco-eval takes integers only. Sorted: equal scores are ranked by the image.
    images = sorted(content["images"], key=lambda image: image["id"])
    numbers = {image["id"]: number for number, image in enumerate(images)}
    if lvis_style:
        annotations = [a for a in annotations if a["area"] > 0]
    columns = _columns(results, numbers)
    indices = _within_limits(columns, max_dets_per_image, max_dets_per_class)
    if lvis_style:
        indices = _judged(indices, columns, _judged_pairs(annotations, images, numbers))
    indices = indices[np.argsort(columns.categories[indices], kind="stable")]
    categories = sorted(content["categories"], key=lambda category: category["id"])
    ids = np.array([category["id"] for category in categories])
    ends = np.searchsorted(columns.categories[indices], [ids, ids + 1])
    annotations_of = _by_category(annotations)
    for category, start, end in zip(categories, *ends.tolist(), strict=True):
        # faster-coco-eval adds fields to the annotations, and takes id 0 for "not matched".
        objects = [
            {**annotation, "id": i, "image_id": numbers[annotation["image_id"]]}
            for i, annotation in enumerate(annotations_of[category["id"]], start=1)
        ]
        of_category = indices[start:end].tolist() if objects else []
        detections = _detections(of_category, results, columns, task)
        if lvis_style:
            detections = [detection for detection in detections if detection["area"] > 0]
        yield _evaluation(category, images, objects, detections, task, lvis_style)


def check_images(predicted: Iterable[int | str], known: Collection[int | str]) -> None:
    """Check that an annotation file lists the images of all detections.

    Args:
        predicted: Image ids of detections.
        known: Image ids of the annotation file, in a container that is quick to search.

    Raises:
        ValueError: It does not list one.
    """
    unknown = {image_id for image_id in predicted if image_id not in known}
    if unknown:
        raise ValueError(
            f"There are predictions for image {min(unknown, key=str)!r}, which is not among the "
            f"{len(known)} images of the annotation file; evaluate on the dataset predicted."
        )


def _columns(results: Sequence[Record], numbers: ImageNumbers) -> _Columns:
    image_ids, category_ids = (_column(results, key) for key in ("image_id", "category_id"))
    check_images(image_ids, numbers)
    images = np.fromiter(map(numbers.__getitem__, image_ids), np.int64, len(image_ids))
    return _Columns(images, np.asarray(category_ids, np.int64), detection_scores(results))


def detection_scores(results: Sequence[Record]) -> FloatArray:
    """Collect the scores of the D detections and check that they can be ranked.

    Returns:
        (D,).

    Raises:
        ValueError: One is not finite.
    """
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


def _within_limits(columns: _Columns, per_image: int | None, per_class: int | None) -> IntArray:
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


def _judged(indices: IntArray, columns: _Columns, pairs: IntArray) -> IntArray:
    """Those whose image and category are one of the pairs (P, 2)."""
    ids = (pairs[:, 1], columns.categories)
    # Ids can be negative.
    width = 1 + max(i.max(initial=0) for i in ids) - min(i.min(initial=0) for i in ids)
    keys = columns.images[indices]
    keys *= width
    keys += columns.categories[indices]
    return indices[np.isin(keys, pairs @ (width, 1))]


def _judged_pairs(
    annotations: list[Record], images: list[Record], numbers: ImageNumbers
) -> IntArray:
    """(P, 2): image number and category that is known to be present in the image, or absent."""
    present = {(numbers[a["image_id"]], a["category_id"]) for a in annotations}
    absent = ((i, c) for i, image in enumerate(images) for c in image["neg_category_ids"])
    return np.array(sorted(present.union(absent)), np.int64).reshape(-1, 2)


def _by_category(records: list[Record]) -> defaultdict[int, list[Record]]:
    by_category = defaultdict(list)
    for record in records:
        by_category[record["category_id"]].append(record)
    return by_category


def _detections(
    indices: list[int], results: Sequence[Record], columns: _Columns, task: str
) -> list[Record]:
    """What faster-coco-eval needs of the results that have what the task is about."""
    field = GEOMETRY_FIELD[task]
    found = [(i, result) for i in indices if field in (result := results[i])]
    areas = _areas([result[field] for _, result in found], field)
    return [
        {
            "id": number,
            "image_id": int(columns.images[i]),
            "category_id": result["category_id"],
            "score": result["score"],
            "area": area,
            "iscrowd": 0,
            field: result[field],
        }
        for number, ((i, result), area) in enumerate(zip(found, areas, strict=True), start=1)
    ]


def _areas(geometries: list[Any], field: str) -> list[float]:
    if field == "bbox":
        return [width * height for _, _, width, height in geometries]
    areas: list[float] = mask_area(geometries).tolist() if geometries else []
    return areas


def _evaluation(
    category: Record,
    images: list[Record],
    annotations: list[Record],
    detections: list[Record],
    task: str,
    lvis_style: bool,
) -> COCOeval_faster:
    used = sorted({record["image_id"] for record in (*annotations, *detections)})
    # COCO.loadRes is left out: it reads every mask twice more.
    truth, found = (
        COCO(
            {
                "images": [_image(images[number], number, category["id"]) for number in used],
                "annotations": records,
                # faster-coco-eval wants to see a frequency, but its groups are not used here.
                "categories": [{"frequency": "f", **category}],
            }
        )
        for records in (annotations, detections)
    )
    evaluation = COCOeval_faster(truth, found, task, lvis_style=lvis_style)
    # The limits were applied: this one, per image and category, must not drop any more.
    evaluation.params.maxDets = [max(1, len(detections))]
    return evaluation


def _image(image: Record, number: int, category_id: int) -> Record:
    """An image as faster-coco-eval wants it for one category, which is judged there."""
    return {**image, "id": number, "neg_category_ids": [category_id]}
