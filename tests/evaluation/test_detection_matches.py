"""Which detections count and which object each finds; the rest shows in the tests of AP."""

import numpy as np
import pytest
from overlap_fixture import SIZE, random_content, random_results

from rankdet.evaluation.detection_matches import match_images


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
