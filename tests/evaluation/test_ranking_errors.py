import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankdet.evaluation.ranking_errors import ClassScores, judged_classes

C = 3
CONTENT = {
    "images": [
        {"id": 7, "neg_category_ids": [10], "not_exhaustive_category_ids": []},
        {"id": 8, "neg_category_ids": [10, 30], "not_exhaustive_category_ids": [20]},
        {"id": 9, "neg_category_ids": []},
    ],
    "annotations": [
        {"image_id": 7, "category_id": 20},
        {"image_id": 8, "category_id": 20},
        {"image_id": 7, "category_id": 20},
    ],
}
CLASS_OF_CATEGORY = {10: 0, 20: 1, 30: 2}


def proposals(num):
    """Scores with ties, labels of which some are background, and judged classes of an image."""
    score = st.integers(0, 4).map(lambda value: value / 4)
    row = st.tuples(*[score] * (C + 1), st.integers(0, C))
    judged = st.none() | st.sets(st.integers(0, C - 1))
    return st.tuples(st.lists(row, min_size=num, max_size=num), judged)


images = st.lists(st.integers(0, 5).flatmap(proposals), min_size=1, max_size=4)


@given(images)
def test_pairs_of_all_images_are_compared_where_a_class_is_judged(images):
    scores = ClassScores(C)
    for rows, judged in images:
        table = torch.tensor(rows).reshape(-1, C + 2)
        scores.add(table[:, : C + 1], table[:, C + 1].long(), judged)
    for c, errors in enumerate(scores.errors()):
        pos = [row[c] for rows, _ in images for row in rows if row[-1] == c]
        neg = [
            row[c]
            for rows, judged in images
            for row in rows
            if row[-1] != c and (judged is None or c in judged)
        ]
        if not pos or not neg:
            assert errors is None
            continue
        wrong = sum(p < n for p in pos for n in neg)
        assert (errors.num_positives, errors.num_negatives) == (len(pos), len(neg))
        assert math.isclose(errors.alpha, len(neg) / len(pos))
        assert math.isclose(errors.ranking_error, wrong / len(pos) / len(neg), abs_tol=1e-12)
        assert errors.lower_bound - 1e-12 <= errors.detection_error <= errors.upper_bound + 1e-12
        assert errors.ranking_error <= errors.classification_error + 1e-12


def test_worst_ranking_by_hand():
    """One positive below two negatives: alpha is 2, and 1 - AP the integral of 2 / (b + 2)."""
    scores = ClassScores(1)
    scores.add(torch.tensor([[0.1], [0.5], [0.9]]), torch.tensor([0, 1, -1]))
    (errors,) = scores.errors()
    assert errors[:4] == (1, 2, 2.0, 1.0)
    expected = 2 * math.log(3 / 2)
    for error in (errors.detection_error, errors.lower_bound, errors.linear_approximation):
        assert math.isclose(error, expected, rel_tol=1e-9)
    assert math.isclose(errors.upper_bound, 1 - 8 / 45, rel_tol=1e-9)
    assert errors.classification_error == 1


def test_a_class_is_judged_where_its_objects_are_all_known():
    assert judged_classes(CONTENT, CLASS_OF_CATEGORY) == {7: {0, 1}, 8: {0, 2}, 9: set()}
    # Files of fewer classes keep the others among the negative ones.
    assert judged_classes(CONTENT, {20: 0}) == {7: {0}, 8: set(), 9: set()}


@pytest.mark.parametrize("annotations", [[], CONTENT["annotations"]])
def test_everything_is_judged_without_negative_categories(annotations):
    content = {"images": [{"id": 7}, {"id": 8}], "annotations": annotations}
    assert judged_classes(content, CLASS_OF_CATEGORY) is None
