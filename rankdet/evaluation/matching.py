"""Matching detections to ground truth with faster-coco-eval, by the rules of LVIS or of COCO."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from typing import Any

from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core.mask import area as mask_area

Record = dict[str, Any]
ImageNumbers = dict[int | str, int]
"""From 0, by image id."""

FIELDS_OF_LVIS = {
    "images": ("neg_category_ids", "not_exhaustive_category_ids"),
    "annotations": ("area",),
    "categories": ("frequency",),
}
GEOMETRY_FIELD = {"bbox": "bbox", "segm": "segmentation"}

# Every (image, category) pair of a chunk is held in memory at once, so it bounds the memory.
CATEGORIES_PER_CHUNK = 100


def is_federated(content: Record) -> bool:
    """Whether an annotation file says, as LVIS does, which classes an image was searched for."""
    return any("neg_category_ids" in image for image in content["images"])


def check_lvis_fields(content: Record) -> None:
    """Check that every record of an annotation file has the fields of LVIS v1.

    Raises:
        ValueError: One lacks a field.
    """
    for kind, fields in FIELDS_OF_LVIS.items():
        for field in fields:
            lacking = next((record for record in content[kind] if field not in record), None)
            if lacking is not None:
                raise ValueError(
                    f"Entry {lacking['id']} of the {kind} has no {field!r}, which the LVIS metrics "
                    "need; evaluate COCO-style annotations with Detectron2's COCOEvaluator."
                )


def chunked_evaluations(
    content: Record, results: list[Record], task: str, max_dets_per_image: int, *, lvis_style: bool
) -> Iterator[COCOeval_faster]:
    """Prepare the evaluation of all detections that count, some categories at a time.

    Args:
        content: A parsed annotation file. It is not changed.
        results: Detections with `image_id`, `category_id`, `score` and `bbox` (x, y, width,
            height) or `segmentation` (RLE). They are not changed. Those that lack what the
            task needs are left out.
        task: "bbox" or "segm".
        max_dets_per_image: Only so many detections of an image count, the highest-scoring ones
            of all categories together.
        lvis_style: By the rules of LVIS: a detection counts only where its category is known to
            be present or absent, annotations and detections without area never do, and one that
            matches nothing is no error where the category was not annotated exhaustively.

    Yields:
        Evaluations of `CATEGORIES_PER_CHUNK` categories each, in the order of the category ids,
        whose `evaluate` was not called yet.

    Raises:
        ValueError: There are detections for an image that the annotation file does not list.
    """
    # faster-coco-eval takes integers only. Sorted: equal scores are ranked by the image.
    ordered = sorted(image["id"] for image in content["images"])
    image_numbers = {image_id: number for number, image_id in enumerate(ordered)}
    ground_truth = _ground_truth(content, image_numbers, lvis_style)
    _check_images(results, image_numbers)
    detections = _top_per_image(results, max_dets_per_image)
    detections = _with_geometry(detections, task, image_numbers)
    if lvis_style:
        detections = _with_area(_judged(detections, ground_truth), task)
    by_category = defaultdict(list)
    for detection in detections:
        by_category[detection["category_id"]].append(detection)
    category_ids = sorted(ground_truth.cats)
    for start in range(0, len(category_ids), CATEGORIES_PER_CHUNK):
        chunk = category_ids[start : start + CATEGORIES_PER_CHUNK]
        of_chunk = list(chain.from_iterable(by_category.pop(c, []) for c in chunk))
        evaluation = COCOeval_faster(
            ground_truth, ground_truth.loadRes(of_chunk), task, lvis_style=lvis_style
        )
        evaluation.params.catIds = chunk
        evaluation.params.maxDets = [max_dets_per_image]
        yield evaluation


def _ground_truth(content: Record, image_numbers: ImageNumbers, lvis_style: bool) -> COCO:
    annotations = content["annotations"]
    if lvis_style:
        annotations = [a for a in annotations if a["area"] > 0]
    # faster-coco-eval adds fields to the annotations, and takes id 0 for "not matched".
    annotations = [
        {**a, "id": i, "image_id": image_numbers[a["image_id"]]}
        for i, a in enumerate(annotations, start=1)
    ]
    images = [{**image, "id": image_numbers[image["id"]]} for image in content["images"]]
    return COCO({**content, "images": images, "annotations": annotations})


def _check_images(results: list[Record], image_numbers: ImageNumbers) -> None:
    unknown = {result["image_id"] for result in results} - image_numbers.keys()
    if unknown:
        raise ValueError(
            f"There are predictions for image {min(unknown, key=str)!r}, which is not among the "
            f"{len(image_numbers)} images of the annotation file; evaluate on the dataset "
            "predicted."
        )


def _top_per_image(results: list[Record], limit: int) -> list[Record]:
    by_image = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    return [
        result
        for of_image in by_image.values()
        for result in sorted(of_image, key=lambda result: -result["score"])[:limit]
    ]


def _with_geometry(results: list[Record], task: str, image_numbers: ImageNumbers) -> list[Record]:
    """Copy what the task needs of the results that have it; without a box, the mask's counts."""
    keys = ("category_id", "score", GEOMETRY_FIELD[task])
    return [
        {"image_id": image_numbers[r["image_id"]], **{key: r[key] for key in keys}}
        for r in results
        if GEOMETRY_FIELD[task] in r
    ]


def _judged(results: list[Record], ground_truth: COCO) -> list[Record]:
    """The results whose category is known to be present in or absent from their image."""
    judged = {
        image_id: set(image["neg_category_ids"]) for image_id, image in ground_truth.imgs.items()
    }
    for annotation in ground_truth.anns.values():
        judged[annotation["image_id"]].add(annotation["category_id"])
    # faster-coco-eval applies this rule too, but fails on images where it leaves no mask over.
    return [result for result in results if result["category_id"] in judged[result["image_id"]]]


def _with_area(results: list[Record], task: str) -> list[Record]:
    if task == "segm":
        areas = mask_area([result["segmentation"] for result in results]) if results else []
    else:
        areas = [result["bbox"][2] * result["bbox"][3] for result in results]
    return [result for result, area in zip(results, areas, strict=True) if area > 0]
