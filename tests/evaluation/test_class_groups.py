"""Groups of classes by frequency."""

from rankdet.evaluation.class_groups import class_groups

CATEGORIES = [{"id": 7, "frequency": "c"}, {"id": 4, "frequency": "f"}, {"id": 2, "frequency": "c"}]


def test_groups_hold_sorted_ids_even_if_there_are_none() -> None:
    assert class_groups(CATEGORIES) == {"all": [2, 4, 7], "r": [], "c": [2, 7], "f": [4]}


def test_one_category_without_frequency_leaves_one_group() -> None:
    assert class_groups([*CATEGORIES, {"id": 9}]) == {"all": [2, 4, 7, 9]}
