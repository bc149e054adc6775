"""Each anchor of the config finds the checkpoint's anchor of the same shape."""

import pytest
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from tools.convert.anchor_boxes import generator, mmdet_anchors, sides
from tools.convert.tiny_target import tiny_conversion, tiny_target
from torch import nn

from rankdet.tools.convert.anchors import source_of_anchors

RATIOS = (0.5, 1.0, 2.0)


def test_anchors_without_settings_are_in_ascending_order():
    anchors = generator([[32.0, 40.0]], RATIOS, [8])
    target = tiny_target(head=nn.Identity(), anchor_generator=anchors)
    conversion = tiny_conversion({}, target)
    theirs = mmdet_anchors(RATIOS, (4.0, 5.0), 8)
    order = source_of_anchors(conversion)
    assert order == [0, 2, 4, 1, 3, 5]
    for mine, index in zip(sides(anchors, 0), order, strict=True):
        assert mine == pytest.approx(theirs[index], rel=1e-5)
    assert conversion.assumptions == ["the anchors have the config's sizes and shapes"]


def known_anchors(text):
    target = tiny_target(
        head=nn.Identity(), anchor_generator=generator([[32.0, 64.0]], [0.5, 1.0], [8])
    )
    config = f"model = dict(bbox_head=dict(anchor_generator=dict(ratios=[0.5, 1.0], {text})))"
    conversion = tiny_conversion({}, target, config)
    return source_of_anchors(conversion), conversion.assumptions


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("scales=[4, 8], strides=[8]", [0, 2, 1, 3]),
        ("scales=[4, 8], strides=[(8, 8)]", [0, 2, 1, 3]),
        ("scales=[1, 2], strides=[8], base_sizes=[32]", [0, 2, 1, 3]),
        ("scales=[4, 8], strides=[8], scale_major=False", [0, 1, 2, 3]),
        ("octave_base_scale=4, scales_per_octave=1, scales=[4, 8], strides=[8]", [0, 2, 1, 3]),
    ],
)
def test_anchors_of_settings(text, order):
    assert known_anchors(text) == (order, [])


@pytest.mark.parametrize(
    "text",
    [
        "scales=[4, 8]",
        "scales=[4, 'a'], strides=[8]",
        "scales=[4, -8], strides=[8]",
        "scales=[4, 8], strides=8",
        "scales=[4, 8], strides=[('a', 'b')]",
        "scales=[4, 8], strides=[[]]",
        "octave_base_scale=4, scales_per_octave=10000000000, strides=[8]",
        "octave_base_scale=4, scales_per_octave='a', strides=[8]",
    ],
)
def test_anchors_that_can_not_be_read_are_assumed(text):
    order, assumptions = known_anchors(text)
    assert order == [0, 2, 1, 3]
    assert assumptions == ["the anchors have the config's sizes and shapes"]


def test_another_number_of_levels_is_an_error():
    with pytest.raises(ValueError, match="and 1 levels, the checkpoint's 2; give the config"):
        known_anchors("scales=[4, 8], strides=[8, 16]")


@pytest.mark.parametrize(
    ("transform", "is_assumed"),
    [
        (Box2BoxTransform((10, 10, 5, 5)), True),
        (Box2BoxTransformLinear(normalize_by_size=True), False),
    ],
)
def test_the_size_of_a_single_anchor_is_assumed_unless_boxes_are_around_points(
    transform, is_assumed
):
    target = tiny_target(
        head=nn.Identity(),
        anchor_generator=generator([[64.0]], [1.0], [8]),
        box2box_transform=transform,
    )
    conversion = tiny_conversion({}, target)
    assert source_of_anchors(conversion) == [0]
    assert bool(conversion.assumptions) == is_assumed


def test_other_anchors_are_an_error():
    target = tiny_target(head=nn.Identity(), anchor_generator=generator([[64.0]], [1.0], [8]))
    config = (
        "model = dict(bbox_head=dict(anchor_generator=dict(ratios=[1.0], scales=[4], strides=[8])))"
    )
    with pytest.raises(ValueError, match="64 x 64 on the first level, the checkpoint's 32 x 32"):
        source_of_anchors(tiny_conversion({}, target, config))
