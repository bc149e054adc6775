"""Lost AP of small examples, computed by hand from the definition of `analyze_errors`."""

from typing import Any

import pytest

from rankdet.evaluation.error_analysis import ErrorAnalysis, analyze_errors

Record = dict[str, Any]
CAT, DOG = 1, 2
LEFT, RIGHT = [0, 0, 100, 100], [200, 0, 100, 100]
HALF_LEFT, NOWHERE = [0, 0, 100, 40], [400, 0, 100, 100]


def analyze(
    objects: list[tuple[int, list[int]]], detections: list[tuple[int, list[int]]]
) -> ErrorAnalysis:
    """Errors of the detections, the most confident first, on one image."""
    annotations = [
        {"id": i, "image_id": 7, "category_id": c, "bbox": box, "area": 10_000}
        for i, (c, box) in enumerate(objects, start=1)
    ]
    results = [
        {"image_id": 7, "category_id": c, "bbox": box, "score": 1 / rank}
        for rank, (c, box) in enumerate(detections, start=1)
    ]
    categories = [{"id": CAT}, {"id": DOG}]
    content = {"images": [{"id": 7}], "annotations": annotations, "categories": categories}
    return analyze_errors(content, results, "bbox")


def lost(analysis: ErrorAnalysis) -> dict[str, float]:
    """Points of each kind of error that costs any."""
    return {kind: points for kind, points in analysis.groups["all"].lost.items() if points}


def test_confusion_costs_both_classes() -> None:
    """A cat is taken for a dog before the dog is found: no cat is found, the dog is second.

    AP is 0 for cats and 1/2 for dogs; 1 and 1 if the wrong class were right.
    """
    analysis = analyze([(CAT, LEFT), (DOG, RIGHT)], [(DOG, LEFT), (DOG, RIGHT)])
    assert analysis.groups["all"].ap50 == pytest.approx(25)
    assert lost(analysis) == pytest.approx({"classification": 75})
    assert [tuple(pair) for pair in analysis.confusions] == [(CAT, DOG, 1, pytest.approx(75))]


def test_better_localized_detection_replaces_the_one_that_finds_the_object_later() -> None:
    """Of two cats: badly placed on the left, left, nowhere, right; and right again.

    The precision is 1/2 at both true positives, so AP is 1/2. With the first in place, the second
    goes: 1 up to recall 1/2 (51 of the 101 recalls), then 2/3. Without the one nowhere: 2/3 at
    the second true positive, which both reach. The duplicate comes too late to cost anything.
    """
    boxes = [HALF_LEFT, LEFT, NOWHERE, RIGHT, RIGHT]
    analysis = analyze([(CAT, LEFT), (CAT, RIGHT)], [(CAT, box) for box in boxes])
    group = analysis.groups["all"]
    assert group.ap50 == pytest.approx(50)
    expected = {"localization": 100 * (51 + 50 * 2 / 3) / 101 - 50, "background": 100 * 2 / 3 - 50}
    assert lost(analysis) == pytest.approx(expected)
    assert group.num_errors["duplicate"] == 1


def test_misses_and_what_is_wrong_twice() -> None:
    """A dog detection half on the left cat, before the right cat is found; one dog is missed.

    Cats: one of two, at once: 51 of the 101 recalls; all of them without the missed cat. Dogs: 0,
    100 without the missed dog. To remove the dog detection, wrong twice, finds no dog.
    """
    objects = [(CAT, LEFT), (CAT, RIGHT), (DOG, NOWHERE)]
    analysis = analyze(objects, [(DOG, HALF_LEFT), (CAT, RIGHT)])
    group = analysis.groups["all"]
    assert group.ap50 == pytest.approx(100 * 51 / 101 / 2)
    assert lost(analysis) == pytest.approx({"miss": (100 * 50 / 101 + 100) / 2})
    assert (group.num_errors["both"], group.num_errors["miss"]) == (1, 2)
