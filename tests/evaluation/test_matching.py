"""Which detections count and which object each finds; the rest shows in the tests of AP."""

from typing import Any

import numpy as np
import pytest
from support.overlapping_objects import SIZE, random_content, random_results, region

from rankdet.evaluation.matching import match_images

Record = dict[str, Any]


@pytest.mark.parametrize("federated", [True, False])
def test_matches_pair_free_objects_of_the_same_class(federated: bool) -> None:
    rng = np.random.default_rng(4)
    content = random_content(rng, federated=federated)
    results = random_results(content, rng)
    for matches in match_images(content, results, "bbox"):
        found = np.flatnonzero(matches.matched >= 0)
        columns = matches.matched[found]
        assert len(set(columns.tolist())) == len(columns)
        assert (matches.ious[found, columns] >= 0.5).all()
        np.testing.assert_array_equal(
            matches.detection_classes[found], matches.object_classes[columns]
        )
        assert (np.diff(matches.scores) <= 0).all()
        assert not matches.is_ignored[found].any()


def test_best_detections_of_all_classes_count_and_then_those_that_are_judged() -> None:
    rng = np.random.default_rng(4)
    content = random_content(rng, federated=True)
    results = random_results(content, rng)
    results[0].update(score=2.0)
    del results[0]["segmentation"]
    per_image = {
        task: list(match_images(content, results, task, max_dets_per_image=1))
        for task in ("bbox", "segm")
    }
    counted = {i for matches in per_image["bbox"] for i in matches.detections.tolist()}
    assert counted - {0} == {i for m in per_image["segm"] for i in m.detections.tolist()}
    best = max(range(40, 80), key=lambda i: (results[i]["score"], -i))
    of_all = [i for m in match_images(content, results, "bbox") for i in m.detections.tolist()]
    assert (best in counted) == (best in of_all)


def test_masks_decide_of_masks() -> None:
    """Boxes and rectangular masks match alike, and neither task looks at the other's geometry."""
    rng = np.random.default_rng(4)
    content = random_content(rng, federated=False)
    results = random_results(content, rng)
    for result in results:  # Masks end where the image does.
        x, y, w, h = result["bbox"]
        result["bbox"] = [x, y, min(w, SIZE - x), min(h, SIZE - y)]
    boxes = list(match_images(content, results, "bbox"))
    for record in (*content["annotations"], *results):
        record["bbox"] = [0, 0, 1, 1]
    for of_boxes, of_masks in zip(boxes, match_images(content, results, "segm"), strict=True):
        for expected, found in zip(of_boxes, of_masks, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_annotations_without_images_are_named() -> None:
    content = {"images": [], "annotations": [], "categories": [{"id": 3}]}
    with pytest.raises(ValueError, match="lists no images"):
        list(match_images(content, [], "bbox"))


@pytest.mark.parametrize(
    ("task", "image_id", "message"),
    [
        ("boundary", 0, "task 'boundary'; give 'bbox' or 'segm'"),
        ("bbox", 99, "image 99, which is not among the 6 images"),
    ],
)
def test_what_cannot_be_matched_is_named(task: str, image_id: int, message: str) -> None:
    content = random_content(np.random.default_rng(0), federated=True)
    result = {"image_id": image_id, "category_id": 3, "score": 0.5, "bbox": [0, 0, 9, 9]}
    with pytest.raises(ValueError, match=message):
        list(match_images(content, [result], task))


def content_of(*objects: Record, **fields: Any) -> Record:
    annotations = [{"id": i, "image_id": 0, "category_id": 3, **o} for i, o in enumerate(objects)]
    images = [{"id": 0, "height": SIZE, "width": SIZE, **fields}]
    return {"images": images, "annotations": annotations, "categories": [{"id": 3}]}


def detection(x: int, y: int, w: int, h: int) -> Record:
    shape = region(np.array([x, y, w, h]))
    return {"image_id": 0, "category_id": 3, "score": 0.5, **shape}


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_what_has_no_area_counts_only_where_annotations_are_not_federated(task: str) -> None:
    square = region(np.array([0, 0, 40, 40]))
    results = [detection(0, 0, 40, 40), detection(60, 0, 0, 40)]
    content = content_of(square, {**square, "area": 0})
    (matches,) = match_images(content, results, task)
    assert (matches.objects.tolist(), matches.detections.tolist()) == ([0, 1], [0, 1])
    content["images"][0].update(neg_category_ids=[], not_exhaustive_category_ids=[])
    (matches,) = match_images(content, results, task)
    assert (matches.objects.tolist(), matches.detections.tolist()) == ([0], [0])


def test_of_objects_that_overlap_equally_the_last_is_taken() -> None:
    square = region(np.array([0, 0, 40, 40]))
    (matches,) = match_images(content_of(square, square), [detection(0, 0, 40, 40)], "bbox")
    assert matches.matched.tolist() == [1]


@pytest.mark.parametrize(("height", "is_ignored"), [(80, True), (81, False)])
def test_half_a_detection_in_a_crowd_is_ignored(height: int, is_ignored: bool) -> None:
    """The crowd is larger, so that the IoU would be under 1/2."""
    content = content_of({**region(np.array([0, 0, 90, 40])), "iscrowd": 1})
    (matches,) = match_images(content, [detection(0, 0, 40, height)], "bbox")
    assert (matches.is_ignored.tolist(), matches.objects.size) == ([is_ignored], 0)
