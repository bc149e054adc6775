"""What is taken for left out is what Detectron2's mapper drops."""

from typing import Any

import numpy as np
from detectron2.data.detection_utils import (
    annotations_to_instances,
    filter_empty_instances,
    transform_instance_annotations,
)
from detectron2.structures import BoxMode
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdet.data.trained_objects import (
    CROWD,
    NO_POLYGON,
    NO_SIZE,
    OUTSIDE,
    Objects,
    count_pairs,
    found,
    left_out,
)

WIDTH, HEIGHT = 30, 20


def objects(boxes: Any, **columns: Any) -> Objects:
    """Objects of these boxes, nothing else special."""
    number = len(boxes)
    defaults = {
        "ids": list(range(number)),
        "images": np.zeros(number, np.int64),
        "classes": np.zeros(number, np.int64),
        "sizes": np.full((number, 2), (WIDTH, HEIGHT), float),
        "is_crowd": np.zeros(number, bool),
        "masks": ["polygons"] * number,
        "drops_polygons": False,
    }
    return Objects(boxes=np.array(boxes, float).reshape(-1, 4), **{**defaults, **columns})


EDGES = st.one_of(
    st.floats(-40, 70), st.sampled_from([0, WIDTH, HEIGHT, 1e-5, WIDTH - 1e-5, WIDTH + 1e-5])
)


@settings(deadline=None)
@given(st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), min_size=1, max_size=8))
def test_boxes_without_area_in_the_image_are_those_that_the_mapper_drops(corners: Any) -> None:
    boxes = np.array([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners])
    annotations = [
        {"bbox": box.tolist(), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0} for box in boxes
    ]
    mapped = [transform_instance_annotations(one, [], (HEIGHT, WIDTH)) for one in annotations]
    instances = annotations_to_instances(mapped, (HEIGHT, WIDTH))
    _, is_kept = filter_empty_instances(instances, return_mask=True)
    assert (left_out(objects(boxes)) == "").tolist() == is_kept.tolist()


def test_first_of_several_reasons_is_named() -> None:
    boxes = [[1, 1, 9, 9], [1, 1, 9, 9], [5, 5, 5, 9], [50, 1, 60, 9], [1, 1, 9, 9]]
    some = objects(
        boxes,
        is_crowd=np.array([True, False, False, False, False]),
        masks=["invalid", "invalid", "none", "none", "rle"],
        drops_polygons=True,
    )
    assert left_out(some).tolist() == [CROWD, NO_POLYGON, NO_SIZE, OUTSIDE, ""]


def test_found_numbers_labels_and_names_the_first() -> None:
    assert found(np.array(["b", "", "a", "b"]), [7, 8, 9, 10]) == {"a": [1, 9], "b": [2, 7]}


def test_pairs_are_counted_once_per_image() -> None:
    images, classes = np.array([5, 1, 5, 5]), np.array([0, 0, 0, 2])
    assert count_pairs(images, classes, 3) == ([2, 0, 1], [3, 0, 1])


def test_nothing_is_counted_as_nothing() -> None:
    assert left_out(objects([])).tolist() == []
    assert count_pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), 2) == ([0, 0], [0, 0])
