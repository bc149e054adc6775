"""The kind of detections of known overlap, and the object that each is about."""

from typing import Any

import pytest

from rankdet.evaluation.error_kinds import DetectionKind, kinds_of_image
from rankdet.evaluation.matching import match_images

Record = dict[str, Any]
CAT, DOG, BIRD, FISH = 1, 2, 3, 4
"""There are cats and a dog, no bird, and nobody looked for fish; dogs may be unlabeled."""
CAT_BOX, DOG_BOX, SECOND_CAT_BOX = [0, 0, 100, 100], [200, 0, 100, 100], [290, 0, 100, 100]
NEAR_CAT = [0, 0, 100, 90]


def make_content(iscrowd: int = 0) -> Record:
    image = {"id": 7, "neg_category_ids": [BIRD], "not_exhaustive_category_ids": [DOG]}
    objects = [(CAT, CAT_BOX), (DOG, DOG_BOX), (CAT, SECOND_CAT_BOX)]
    annotations = [
        {"id": i, "image_id": 7, "category_id": c, "bbox": box, "area": 10_000, "iscrowd": iscrowd}
        for i, (c, box) in enumerate(objects, start=1)
    ]
    categories = [{"id": i} for i in (CAT, DOG, BIRD, FISH)]
    return {"images": [image], "annotations": annotations, "categories": categories}


def kind_of(
    content: Record, *detections: tuple[int, list[int]]
) -> tuple[DetectionKind, int] | None:
    """Kind and object of the last detection, which has the lowest score; None: not judged."""
    results = [
        {"image_id": 7, "category_id": c, "bbox": box, "score": 1 / rank}
        for rank, (c, box) in enumerate(detections, start=1)
    ]
    (matches,) = match_images(content, results, "bbox")
    kinds, targets = kinds_of_image(matches)
    found = dict(zip(matches.detections.tolist(), zip(kinds, targets, strict=True), strict=True))
    return found.get(len(results) - 1)


@pytest.mark.parametrize(
    ("category_id", "box", "kind", "target"),
    [
        (CAT, NEAR_CAT, DetectionKind.TRUE_POSITIVE, 0),
        (CAT, [0, 0, 100, 50], DetectionKind.TRUE_POSITIVE, 0),
        (CAT, [0, 0, 100, 49], DetectionKind.LOCALIZATION, 0),
        (CAT, [0, 0, 100, 10], DetectionKind.LOCALIZATION, 0),
        (CAT, [0, 0, 100, 9], DetectionKind.BACKGROUND, -1),
        (BIRD, NEAR_CAT, DetectionKind.CLASSIFICATION, 0),
        (BIRD, [0, 0, 100, 50], DetectionKind.CLASSIFICATION, 0),
        (BIRD, [0, 0, 100, 49], DetectionKind.BOTH, 0),
        (BIRD, [0, 0, 100, 10], DetectionKind.BOTH, 0),
        (BIRD, [0, 0, 100, 9], DetectionKind.BACKGROUND, -1),
        (CAT, DOG_BOX, DetectionKind.CLASSIFICATION, 1),
        # IoU 0.53 with the dog and 0.37 with the second cat: the own class comes first.
        (CAT, [240, 0, 85, 100], DetectionKind.LOCALIZATION, 2),
        (DOG, DOG_BOX, DetectionKind.TRUE_POSITIVE, 1),
        (DOG, NEAR_CAT, DetectionKind.IGNORED, -1),
    ],
)
def test_kind_of_one_detection(
    category_id: int, box: list[int], kind: DetectionKind, target: int
) -> None:
    assert kind_of(make_content(), (category_id, box)) == (kind, target)


@pytest.mark.parametrize("height", [90, 50])
def test_second_detection_of_an_object_is_a_duplicate(height: int) -> None:
    second = (CAT, [0, 0, 100, height])
    assert kind_of(make_content(), (CAT, CAT_BOX), second) == (DetectionKind.DUPLICATE, 0)


def test_class_that_was_not_looked_for_is_not_judged() -> None:
    assert kind_of(make_content(), (FISH, CAT_BOX)) is None


def test_detection_on_a_crowd_is_ignored() -> None:
    content = make_content(iscrowd=1)
    assert kind_of(content, (CAT, [20, 20, 30, 30])) == (DetectionKind.IGNORED, -1)
    assert kind_of(content, (BIRD, CAT_BOX)) == (DetectionKind.BACKGROUND, -1)


def test_image_without_objects() -> None:
    content = make_content()
    content["annotations"] = []
    assert kind_of(content, (BIRD, CAT_BOX)) == (DetectionKind.BACKGROUND, -1)
