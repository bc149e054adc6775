"""Optimal LRP of detections equals a slow loop over images, with the rules of COCO and LVIS."""

import copy
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask
import pytest

from rankdet.evaluation.lrp_scoring import score_iou_correlation, score_lrp
from rankdet.evaluation.lvis_scoring import score_lvis

SIZE = 24
NUM_CATEGORIES = 6
"""The last is never annotated, the one before it never detected."""
Record = dict[str, Any]
Bitmap = npt.NDArray[np.bool_]


def make_content(rng: np.random.Generator, federated: bool) -> Record:
    images, annotations = [], []
    for image_id in range(8):
        image: Record = {"id": image_id, "height": SIZE, "width": SIZE}
        present = rng.choice(NUM_CATEGORIES - 1, size=3, replace=False) + 1
        if federated:
            absent = sorted({*range(1, NUM_CATEGORIES + 1)} - {*present.tolist()})
            image["neg_category_ids"] = absent[: image_id % 3]
            image["not_exhaustive_category_ids"] = present[: image_id % 2].tolist()
        images.append(image)
        for category_id in present.repeat(rng.integers(1, 4)).tolist():
            is_crowd = not federated and rng.random() < 0.25
            annotations.append(
                {
                    # COCO-style files number their annotations as they like, from 0 too.
                    "id": len(annotations),
                    "image_id": image_id,
                    "category_id": category_id,
                    "iscrowd": int(is_crowd),
                    **shape(random_bitmap(rng)),
                }
            )
    categories: list[Record] = [{"id": i} for i in range(NUM_CATEGORIES, 0, -1)]
    if federated:
        categories = [
            {**category, "frequency": "rcf"[category["id"] % 3]} for category in categories
        ]
    return {"images": images, "annotations": annotations, "categories": categories}


def random_bitmap(rng: np.random.Generator) -> Bitmap:
    bitmap = np.zeros((SIZE, SIZE), bool)
    x, y = rng.integers(0, SIZE - 12, size=2)
    w, h = rng.integers(6, 13, size=2)
    bitmap[y : y + h, x : x + w] = rng.random((h, w)) < 0.95
    return bitmap


def shape(bitmap: Bitmap) -> Record:
    rle = pycocotools.mask.encode(np.asfortranarray(bitmap, np.uint8))
    rle["counts"] = rle["counts"].decode()
    box = pycocotools.mask.toBbox(rle).tolist()
    return {"bbox": box, "area": float(bitmap.sum()), "segmentation": rle}


@functools.cache
def decoded(counts: str) -> Bitmap:
    return pycocotools.mask.decode({"size": [SIZE, SIZE], "counts": counts}).astype(bool)


def make_results(content: Record, rng: np.random.Generator) -> list[Record]:
    """Objects shifted by a pixel or noisy, some of them twice, and others; many equal scores."""
    results = []
    for annotation in content["annotations"] * 2:
        bitmap = decoded(annotation["segmentation"]["counts"])
        if rng.random() < 0.2:
            bitmap = random_bitmap(rng)
        bitmap = np.roll(bitmap, rng.choice([0, 0, 0, 1], size=2), axis=(0, 1))
        bitmap = bitmap & (rng.random(bitmap.shape) < rng.uniform(0.8, 1))
        category_id = annotation["category_id"]
        if rng.random() < 0.2:
            category_id = int(rng.integers(1, NUM_CATEGORIES + 1))
        result = {"image_id": annotation["image_id"], "category_id": category_id, **shape(bitmap)}
        results.append({**result, "score": int(rng.integers(1, 12)) / 12})
    return [r for r in results if r["category_id"] != NUM_CATEGORIES - 1 and r["area"] > 0]


def overlap(detection: Record, annotation: Record, task: str) -> float:
    """IoU; the part of the detection that is covered, if the annotation is a crowd."""
    if task == "bbox":
        (ax, ay, aw, ah), (bx, by, bw, bh) = detection["bbox"], annotation["bbox"]
        width = max(0, min(ax + aw, bx + bw) - max(ax, bx))
        common = width * max(0, min(ay + ah, by + bh) - max(ay, by))
        area, other = aw * ah, bw * bh
    else:
        a, b = (decoded(r["segmentation"]["counts"]) for r in (detection, annotation))
        common, area, other = (a & b).sum(), a.sum(), b.sum()
    return float(common / (area if annotation["iscrowd"] else area + other - common))


def match(
    content: Record, results: list[Record], task: str, category_id: int, limit: int | None
) -> Any:
    """Score and IoU (0: no object) of all detections of a category that count."""
    found = []
    for image in content["images"]:
        everything = [r for r in results if r["image_id"] == image["id"]]
        everything = sorted(everything, key=lambda r: -r["score"])[:limit]
        detections = [r for r in everything if r["category_id"] == category_id]
        objects = [
            a
            for a in content["annotations"]
            if (a["image_id"], a["category_id"]) == (image["id"], category_id)
        ]
        if "neg_category_ids" in image and not objects:
            if category_id not in image["neg_category_ids"]:
                continue
        free = [a for a in objects if not a["iscrowd"]]
        crowds = [a for a in objects if a["iscrowd"]]
        for detection in detections:
            best = max(free, key=lambda a: overlap(detection, a, task), default=None)
            if best is not None and overlap(detection, best, task) >= 0.5:
                free.remove(best)
                found.append((detection["score"], overlap(detection, best, task)))
            elif any(overlap(detection, crowd, task) >= 0.5 for crowd in crowds):
                pass
            elif category_id not in image.get("not_exhaustive_category_ids", []):
                found.append((detection["score"], 0.0))
    return found


def slow_lrp(found: list[tuple[float, float]], num_objects: int) -> float:
    errors = [1.0]
    for threshold, _ in found:
        kept = [iou for score, iou in found if score >= threshold]
        distances = [(1 - iou) / (1 - 0.5) for iou in kept if iou]
        num_fp, num_fn = kept.count(0.0), num_objects - len(distances)
        errors.append((sum(distances) + num_fp + num_fn) / (len(kept) + num_fn))
    return min(errors)


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("federated", [False, True])
@pytest.mark.parametrize(("seed", "limit"), [(0, 300), (1, None), (2, 300), (3, 8)])
def test_equals_the_slow_loop(task: str, federated: bool, seed: int, limit: int | None) -> None:
    rng = np.random.default_rng(seed)
    content = make_content(rng, federated)
    results = make_results(content, rng)
    given = copy.deepcopy((content, results))
    scores = score_lrp(content, results, task, max_dets_per_image=limit)
    assert (content, results) == given
    expected, correlations, num_right = [], [], 0
    for category_id in range(1, NUM_CATEGORIES + 1):
        found = match(content, results, task, category_id, limit)
        of_category = [a for a in content["annotations"] if a["category_id"] == category_id]
        num_objects = sum(not a["iscrowd"] for a in of_category)
        expected.append(100 * slow_lrp(found, num_objects) if num_objects else math.nan)
        correlations.append(score_iou_correlation(*np.array(found).reshape(-1, 2).T))
        num_right += sum(iou > 0 for _, iou in found)
    assert num_right > 15
    compare = dict(rtol=0, atol=1e-10)
    np.testing.assert_allclose(scores.per_class["oLRP"], expected, **compare)
    np.testing.assert_allclose(scores.per_class["score_iou_correlation"], correlations, **compare)
    assert scores.metrics["oLRP"] == pytest.approx(np.nanmean(expected), abs=1e-10)
    assert ("oLRPr" in scores.metrics) == federated
    if federated:
        of_rare = [expected[i - 1] for i in range(1, NUM_CATEGORIES + 1) if i % 3 == 0]
        assert scores.metrics["oLRPr"] == pytest.approx(np.nanmean(of_rare), abs=1e-10)


BOX, ELSEWHERE = [0, 0, 10, 10], [12, 12, 10, 10]
NOTHING_ABSENT: Record = {"neg_category_ids": [], "not_exhaustive_category_ids": []}


def annotation(box: list[int], category_id: int = 1, image_id: int = 1, crowd: int = 0) -> Record:
    ids = {"id": 1 + category_id + 10 * image_id, "image_id": image_id, "category_id": category_id}
    return {**ids, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}


def detection(
    box: list[int], score: float, category_id: int = 1, image_id: int | str = 1
) -> Record:
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


def content_of(annotations: list[Record], **fields: Any) -> Record:
    images = [{"id": i, "height": SIZE, "width": SIZE, **fields} for i in (1, 2)]
    categories = [{"id": i, "frequency": "r"} for i in (1, 2)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("fields", [{}, NOTHING_ABSENT])
def test_detections_in_a_crowd_are_ignored(fields: Record) -> None:
    """In federated annotations, too, though those of LVIS have no crowds."""
    content = content_of([annotation(BOX), annotation(ELSEWHERE, crowd=1)], **fields)
    content["annotations"][1]["id"] = 99
    inside = [detection([13, 13, 4, 4], 0.9), detection([15, 15, 4, 4], 0.8)]
    results = [*inside, detection(BOX, 0.5)]
    scores = score_lrp(content, results, "bbox")
    assert scores.metrics["oLRP"] == scores.metrics["oLRP_FP"] == 0
    assert score_lvis(content, results, "bbox").metrics["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, 50),
        ({"neg_category_ids": [1], "not_exhaustive_category_ids": []}, 50),
        ({"neg_category_ids": [2], "not_exhaustive_category_ids": []}, 0),
        ({"neg_category_ids": [1], "not_exhaustive_category_ids": [1]}, 0),
    ],
)
def test_a_detection_on_an_image_without_the_class(fields: Record, error: float) -> None:
    """It is an error where all classes were annotated, or this one was found to be absent."""
    content = content_of([annotation(BOX)], **fields)
    results = [detection(BOX, 0.5), detection(BOX, 0.9, image_id=2)]
    assert score_lrp(content, results, "bbox").metrics["oLRP"] == error


def test_image_ids_can_be_file_names() -> None:
    content = content_of([annotation(BOX), annotation(ELSEWHERE, image_id=2)])
    results = [detection(BOX, 0.5), detection([0, 0, 10, 8], 0.5, image_id=2)]
    expected = score_lrp(content, results, "bbox")
    for record in content["images"]:
        record["id"] = f"{record['id']}.png"
    for record in [*content["annotations"], *results]:
        record["image_id"] = f"{record['image_id']}.png"
    found = score_lrp(content, results, "bbox")
    assert found.metrics == pytest.approx(expected.metrics, nan_ok=True)
    with pytest.raises(ValueError, match=r"image '5.png', which is not among the 2 images"):
        score_lrp(content, [detection(BOX, 0.5, image_id="5.png")], "bbox")


def test_classes_without_objects_are_in_no_mean() -> None:
    content = content_of([annotation(BOX)])
    results = [detection(BOX, 0.5), detection(BOX, 0.9, category_id=2)]
    scores = score_lrp(content, results, "bbox")
    np.testing.assert_array_equal(scores.per_class["oLRP"], [0, math.nan])
    np.testing.assert_array_equal(scores.per_class["threshold"], [0.5, math.nan])
    assert (scores.metrics["oLRP"], scores.metrics["oLRPr"]) == (0, 0)
    assert math.isnan(scores.metrics["oLRPf"])


def test_parts_are_means_over_the_classes_that_have_them() -> None:
    content = content_of([annotation(BOX), annotation(BOX, category_id=2)])
    metrics = score_lrp(content, [detection([0, 0, 10, 8], 0.5)], "bbox").metrics
    assert metrics["oLRP"] == pytest.approx((40 + 100) / 2)
    assert metrics["oLRP_Loc"] == pytest.approx(20)
    assert (metrics["oLRP_FP"], metrics["oLRP_FN"]) == (0, 50)


def test_federated_annotations_without_a_field_are_named() -> None:
    content = content_of([annotation(BOX)], neg_category_ids=[])
    with pytest.raises(ValueError, match="of the images has no 'not_exhaustive_category_ids'"):
        score_lrp(content, [], "bbox")


def test_prediction_for_an_unknown_image_is_named() -> None:
    with pytest.raises(ValueError, match="image 5, which is not among the 2 images"):
        score_lrp(content_of([annotation(BOX)]), [detection(BOX, 0.5, image_id=5)], "bbox")
