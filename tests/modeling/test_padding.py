"""Anchors over padding, found one cell at a time."""

from math import ceil

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from hypothesis import given
from hypothesis import strategies as st

from rankdet.modeling.padding import check_padding_divisor, is_on_image, padded_size

STRIDES = [4, 8, 64]


def make_generator(offset=0.0):
    return DefaultAnchorGenerator(
        sizes=[[3, 900], [16, 70], [200, 5]],
        aspect_ratios=[0.5, 1.0],
        strides=STRIDES,
        offset=offset,
    )


def grids(height, width):
    """Height and width of the feature map of each level."""
    return [(ceil(height / stride), ceil(width / stride)) for stride in STRIDES]


def make_anchors(generator, height, width):
    return generator([torch.zeros(1, 1, *grid) for grid in grids(height, width)])


def slow_mask(batch, own, anchors_per_cell=4):
    """Anchors of all cells of a batch in their order: whether the image has that cell, too."""
    mask = []
    for (rows, columns), (own_rows, own_columns) in zip(grids(*batch), grids(*own), strict=True):
        for row in range(rows):
            for column in range(columns):
                mask += anchors_per_cell * [row < own_rows and column < own_columns]
    return mask


sides = st.integers(1, 130)


@given(
    size=st.tuples(sides, sides),
    other=st.tuples(sides, sides),
    divisor=st.sampled_from([1, 12, 32]),
    offset=st.sampled_from([0.0, 0.5]),
)
def test_equals_the_rule_one_cell_at_a_time(size, other, divisor, offset):
    generator = make_generator(offset)
    own = [divisor * ceil(side / divisor) for side in size]
    batch = [max(pair) for pair in zip(own, other, strict=True)]
    mask = is_on_image(make_anchors(generator, *batch), generator, size, divisor)
    assert padded_size(size, divisor) == tuple(own)
    assert mask.tolist() == slow_mask(batch, own)


def test_a_divisor_of_no_pixels_is_named():
    check_padding_divisor(None)
    with pytest.raises(ValueError, match=r"padding_divisor is 0; .* such as 32, or None"):
        check_padding_divisor(0)
