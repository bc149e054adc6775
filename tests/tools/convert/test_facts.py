"""What no weight shows is compared with the config, or said."""

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BottleneckBlock
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from tools.convert.tiny_target import Parts, tiny_source, tiny_target
from torch import nn

from rankdet.modeling.dense.dense_head import ClassQualityHead, QualityHead
from rankdet.modeling.dense.distances import ExponentialDistances
from rankdet.modeling.dense.top_block import PlainP6P7
from rankdet.tools.convert.facts import check_facts
from rankdet.tools.convert.rules import Conversion

WEIGHTS = {"backbone.x": torch.ones(1), "bbox_head.conv_reg.weight": torch.ones(1)}
LINEAR = Box2BoxTransformLinear(normalize_by_size=True)


class Backbone(nn.Module):
    def __init__(self, stride_in_1x1, top_block):
        super().__init__()
        self.block = BottleneckBlock(
            4, 4, bottleneck_channels=4, stride=2, stride_in_1x1=stride_in_1x1
        )
        self.top_block = top_block


def target(
    stride_in_1x1=False, top=PlainP6P7, offset=0.5, coder=LINEAR, head=QualityHead, names=()
):
    shapes = [ShapeSpec(channels=4)]
    return tiny_target(
        dataset_names=names,
        backbone=Backbone(stride_in_1x1, top(4, 4)),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[8.0]], aspect_ratios=[1.0], strides=[8], offset=offset
        ),
        box2box_transform=coder,
        head=head(input_shape=shapes, num_classes=2, conv_dims=[4], norm=""),
    )


def config(style="pytorch", neck="", head="norm_on_bbox=True, centerness_on_reg=True"):
    return (
        f"model = dict(backbone=dict(style='{style}'), neck=dict({neck}), "
        f"bbox_head=dict(type='FCOSHead', {head}))"
    )


CASES = [
    (config(), target(), ""),
    (config("caffe"), target(), "that has the stride: the checkpoint has 1 x 1, the config 3 x 3"),
    (config(), target(stride_in_1x1=True), "the checkpoint has 3 x 3, the config 1 x 1"),
    (config("caffe"), target(stride_in_1x1=True), ""),
    (config(neck="relu_before_extra_convs=True"), target(), "has ReLU, the config none"),
    (config(neck="relu_before_extra_convs=True"), target(top=LastLevelP6P7), ""),
    (config(), target(top=LastLevelP6P7), "has none, the config ReLU"),
    (config(), target(offset=0.0), "in strides: the checkpoint has 0.5, the config 0"),
    (config(head="centerness_on_reg=True"), target(), "has logs of pixels, the config in strides"),
    (config(head="centerness_on_reg=True"), target(coder=ExponentialDistances()), ""),
    (config(head="norm_on_bbox=True"), target(), "has classes, the config boxes"),
    (config(head="norm_on_bbox=True"), target(head=ClassQualityHead), ""),
    (
        config(head="anchor_generator=dict(ratios=[1.0])"),
        target(),
        "in strides: the checkpoint has 0, the config 0.5",
    ),
]


@pytest.mark.parametrize(("text", "model", "message"), CASES)
def test_facts_of_both_sides_agree_or_are_an_error(text, model, message):
    conversion = Conversion(tiny_source(WEIGHTS, text), model)
    if not message:
        check_facts(conversion)
        assert conversion.assumptions == []
        return
    with pytest.raises(ValueError, match=message):
        check_facts(conversion)


def test_facts_that_are_not_known_are_said():
    conversion = Conversion(tiny_source(WEIGHTS), target())
    check_facts(conversion)
    assert conversion.assumptions == [
        "convolution of a block that has the stride: 3 x 3, as in the config",
        "activation between the FPN levels p6 and p7: none, as in the config",
        "place of the first anchor, in strides: 0.5, as in the config",
        "distances of FCOS: in strides, as in the config",
        "branch of FCOS's centerness: boxes, as in the config",
    ]


def test_a_backbone_alone_has_its_stride_in_3_x_3():
    weights = {"conv1.weight": torch.ones(1)}
    check_facts(Conversion(tiny_source(weights), target()))
    with pytest.raises(ValueError, match="the checkpoint has 3 x 3, the config 1 x 1"):
        check_facts(Conversion(tiny_source(weights), target(stride_in_1x1=True)))


def test_one_stage_and_two_stage_detectors_do_not_mix():
    weights = {"backbone.x": torch.ones(1), "rpn_head.rpn_cls.bias": torch.ones(3)}
    with pytest.raises(ValueError, match="of a two-stage detector, the config of a one-stage one"):
        check_facts(Conversion(tiny_source(weights), target()))
    two_stage = tiny_target(roi_heads=Parts())
    with pytest.raises(ValueError, match="of a one-stage detector, the config of a two-stage one"):
        check_facts(Conversion(tiny_source(WEIGHTS), two_stage))


@pytest.mark.parametrize(
    ("theirs", "is_error"),
    [(["a", "b", "c"], False), (["a", "c", "b"], True), (["a", "b", "x"], False), ([], False)],
)
def test_classes_in_another_order_are_an_error(theirs, is_error):
    name = "test_facts_order"
    MetadataCatalog.get(name).thing_classes = ["a", "b", "c"]
    conversion = Conversion(tiny_source(WEIGHTS, config(), theirs), target(names=[name]))
    try:
        if is_error:
            with pytest.raises(ValueError, match="class 1 is 'c' in the checkpoint and 'b' in"):
                check_facts(conversion)
        else:
            check_facts(conversion)
    finally:
        MetadataCatalog.remove(name)
