"""Garbage in a field of an annotation file: a sentence of rankdet's, or all can be read."""

import copy
import json
import traceback
from math import inf, nan
from typing import Any

from bad_input.small_data import (
    accept,
    balloons,
    registered,
    registered_function,
    small_content,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankdet.data import instance_counts, read_annotations

NUMBERS = st.one_of(
    st.integers(-5, 50),
    st.sampled_from([2**31, 2**64, -(2**64), 10**400, 1e308, -1e308, 1e-300, nan, inf, -inf]),
    st.floats(-100, 100),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.just("1"))
RLE = st.fixed_dictionaries(
    {},
    optional={
        "size": st.one_of(st.just([32, 40]), st.lists(NUMBERS, max_size=3), SCALARS),
        "counts": st.one_of(
            st.lists(NUMBERS, max_size=5), st.text("0123456789:;<=PQRo", max_size=8), SCALARS
        ),
    },
)
GARBAGE = st.one_of(
    SCALARS,
    RLE,
    st.lists(NUMBERS, max_size=9),
    st.lists(st.lists(SCALARS, max_size=8), max_size=3),
    st.lists(st.lists(NUMBERS, min_size=6, max_size=8), max_size=3),
    st.dictionaries(st.text(max_size=3), SCALARS, max_size=2),
)
FIELDS = [
    (kind, field)
    for kind, records in small_content().items()
    for field in (*records[0], *({"annotations": ("ignore", "keypoints")}.get(kind, ())))
]
MISSING = object()


@st.composite
def contents(draw: Any) -> Any:
    """A file with garbage, or nothing, in one or two fields, or in place of a record or list."""
    content = copy.deepcopy(small_content())
    for _ in range(draw(st.integers(1, 2))):
        kind, field = draw(st.sampled_from(FIELDS))
        records = content[kind]
        place = draw(st.sampled_from(["field"] * 12 + ["record", "list"]))
        garbage = draw(st.one_of(GARBAGE, st.just(MISSING)))
        if place == "list" and garbage is not MISSING:
            return {**content, kind: garbage}
        record = draw(st.sampled_from(range(len(records))))
        if not isinstance(records[record], dict):
            continue
        if garbage is MISSING:
            records[record].pop(field, None)
        elif place == "record":
            records[record] = garbage
        else:
            records[record][field] = garbage
    return content


def is_a_sentence(error: BaseException) -> bool:
    """Whether rankdet raised it, and not what rankdet calls."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals["__name__"].startswith("rankdet.") and str(error).endswith(".")


FEW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@FEW
@given(
    content=contents(),
    reader=st.sampled_from(["coco", "coco", "lvis"]),
    masks=st.booleans(),
)
def test_garbage_ends_in_a_sentence_or_is_trained_on(folder, content, reader, masks):
    try:
        with registered(content, folder, reader) as name:
            read_annotations(folder / "small.json")
            assert accept(name, masks) == instance_counts(name).tolist()
    except ValueError as error:
        assert is_a_sentence(error), f"{json.dumps(content)}: {error!r}"
        if "'small'" not in str(error):
            assert str(folder / "small.json") in str(error)


OBJECT_FIELDS = ("bbox", "bbox_mode", "category_id", "segmentation", "iscrowd", "keypoints")
IMAGE_FIELDS = ("file_name", "image_id", "height", "width", "annotations")


@FEW
@given(
    garbage=st.one_of(GARBAGE, st.just(MISSING)),
    field=st.sampled_from([*OBJECT_FIELDS, *IMAGE_FIELDS]),
    index=st.sampled_from([0, 1]),
    masks=st.booleans(),
)
def test_garbage_in_dicts_of_a_function(folder, garbage, field, index, masks):
    """The fields that Detectron2's mapper reads, of one image or its object."""
    dicts = balloons(folder)
    target = dicts[index]["annotations"][0] if field in OBJECT_FIELDS else dicts[index]
    target.pop(field, None)
    if garbage is not MISSING:
        target[field] = garbage
    try:
        with registered_function(dicts) as name:
            assert accept(name, masks) == instance_counts(name).tolist()
    except ValueError as error:
        assert is_a_sentence(error), f"{dicts}: {error!r}"
