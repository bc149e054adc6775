"""Evaluations by faster-coco-eval, one for each category, by the rules of LVIS or of COCO."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core.mask import area as mask_area

from rankdet.data.annotation_file import Record
from rankdet.evaluation.annotations import GEOMETRY_FIELD, is_federated
from rankdet.evaluation.judged_detections import Judged, judged_detections


def category_evaluations(
    content: Record,
    results: Sequence[Record],
    task: str,
    *,
    max_dets_per_image: int | None,
    max_dets_per_class: int | None = None,
) -> Iterator[COCOeval_faster]:
    """Prepare the evaluation of all detections that count, one category at a time.

    A category that is not annotated gets no detections, because no metric asks for them. Each
    evaluation holds only the images where its category is annotated or predicted:
    faster-coco-eval spends most of its time and memory on pairs of image and category, nearly all
    of which are empty.

    Where annotations are federated, the rules are those of LVIS: see
    :func:`rankdet.evaluation.judged_detections.judged_detections`; besides, detections without area
    do not count, and a detection that matches nothing is no error where its category was not
    annotated exhaustively.

    Args:
        content: see :func:`rankdet.evaluation.lvis_scoring.score_lvis`, as for what follows.
        results: see there.
        task: see there.
        max_dets_per_image: see there.
        max_dets_per_class: see there.

    Yields:
        An evaluation per category, in the order of the category ids, whose ``evaluate`` was not
        called yet.

    Raises:
        ValueError: there are detections for an image that the annotation file does not list, or
            with a score that is not finite; it lists no categories, an annotation lacks what the
            task needs, there is no such task, or a limit is not positive.
    """
    if task not in GEOMETRY_FIELD:
        raise ValueError(f"task is {task!r}; give one of {', '.join(map(repr, GEOMETRY_FIELD))}.")
    if not content["categories"]:
        raise ValueError("The annotation file lists no categories; there is nothing to evaluate.")
    judged = judged_detections(
        content,
        results,
        task,
        max_dets_per_image=max_dets_per_image,
        max_dets_per_class=max_dets_per_class,
    )
    lvis_style = is_federated(content)
    objects_of = _objects_by_category(judged)
    for category, indices in _detections_by_category(content["categories"], judged):
        objects = objects_of[category["id"]]
        detections = _detections(indices if objects else [], results, judged, task)
        if lvis_style:
            detections = [detection for detection in detections if detection["area"] > 0]
        yield _evaluation(category, judged.images, objects, detections, task, lvis_style)


def _objects_by_category(judged: Judged) -> defaultdict[int, list[Record]]:
    """Copies with new ids: faster-coco-eval adds fields, and takes id 0 for "not matched"."""
    by_category: defaultdict[int, list[Record]] = defaultdict(list)
    for index in judged.objects.tolist():
        annotation = judged.annotations[index]
        others = by_category[annotation["category_id"]]
        # faster-coco-eval takes integers only as ids of images.
        ids = {"id": len(others) + 1, "image_id": int(judged.object_images[index])}
        others.append({**annotation, **ids})
    return by_category


def _detections_by_category(
    categories: list[Record], judged: Judged
) -> Iterator[tuple[Record, list[int]]]:
    """Each category, in the order of the ids, with the indices of its detections."""
    of_detections = judged.columns.categories[judged.detections]
    order = np.argsort(of_detections, kind="stable")
    ordered = sorted(categories, key=lambda category: category["id"])
    ids = np.array([category["id"] for category in ordered])
    ends = np.searchsorted(of_detections[order], [ids, ids + 1])
    indices = judged.detections[order]
    for category, start, end in zip(ordered, *ends.tolist(), strict=True):
        yield category, indices[start:end].tolist()


def _detections(
    indices: list[int], results: Sequence[Record], judged: Judged, task: str
) -> list[Record]:
    """What faster-coco-eval needs of the results that have what the task is about."""
    field = GEOMETRY_FIELD[task]
    found = [(i, result) for i in indices if field in (result := results[i])]
    areas = _areas([result[field] for _, result in found], field)
    return [
        {
            "id": number,
            "image_id": int(judged.columns.images[i]),
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
