"""What no weight shows is compared with the config, or said."""

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BottleneckBlock
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from tools.convert.anchor_boxes import generator
from tools.convert.tiny_target import Parts, tiny_source, tiny_target
from torch import nn

from rankdet.losses import EQLv2Loss, PCBLoss, SeesawLoss, SoftmaxCrossEntropyLoss
from rankdet.modeling.dense.dense_head import ClassQualityHead, QualityHead
from rankdet.modeling.dense.distances import ExponentialDistances
from rankdet.modeling.dense.paa import PAAAssigner
from rankdet.modeling.dense.top_block import PlainP6P7
from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear
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


@pytest.mark.parametrize("type_", ["PAAHead", "RankBasedPAAHead", "ATSSHead", "RankBasedATSSHead"])
@pytest.mark.parametrize("is_paa", [False, True])
def test_paa_and_atss_have_one_layout_and_are_told_apart(type_, is_paa):
    weights = {"backbone.x": torch.ones(1), "bbox_head.atss_cls.weight": torch.ones(1)}
    source = tiny_source(
        weights, config(head="anchor_generator=dict(ratios=[1.0])").replace("FCOSHead", type_)
    )
    model = target(offset=0.0)
    model.model.assigner = PAAAssigner(2, None) if is_paa else None
    if ("PAA" in type_) == is_paa:
        check_facts(Conversion(source, model))
        return
    with pytest.raises(ValueError, match=r"detector with ATSS's head: the checkpoint has .*A"):
        check_facts(Conversion(source, model))


def test_a_backbone_alone_has_its_stride_in_3_x_3():
    weights = {"conv1.weight": torch.ones(1)}
    check_facts(Conversion(tiny_source(weights), target()))
    with pytest.raises(ValueError, match="the checkpoint has 3 x 3, the config 1 x 1"):
        check_facts(Conversion(tiny_source(weights), target(stride_in_1x1=True)))


def test_settings_say_where_a_backbone_alone_has_its_stride():
    weights = {"conv1.weight": torch.ones(1)}
    check_facts(Conversion(tiny_source(weights, config("caffe")), target(stride_in_1x1=True)))
    with pytest.raises(ValueError, match="the checkpoint has 1 x 1, the config 3 x 3"):
        check_facts(Conversion(tiny_source(weights, config("caffe")), target()))


@pytest.mark.parametrize("offset", ["None", "'a'", "[0.5]", "1e999"])
def test_a_place_of_anchors_that_can_not_be_read_is_assumed(offset):
    text = config(head=f"anchor_generator=dict(center_offset={offset}), norm_on_bbox=True")
    conversion = Conversion(tiny_source({"backbone.x": torch.ones(1)}, text), target())
    check_facts(conversion)
    assert conversion.assumptions == [
        "place of the first anchor, in strides: 0.5, as in the config"
    ]


@pytest.mark.parametrize(("version", "is_said"), [("1.2.0+a", True), ("2.0.0", False), ("", False)])
def test_mmdetection_1_is_said(version, is_said):
    source = tiny_source(WEIGHTS, config())._replace(mmdet_version=version)
    conversion = Conversion(source, target())
    check_facts(conversion)
    assert any("mmdetection 1" in one for one in conversion.assumptions) == is_said


def two_stage(classes, masks, number_of_stages=None, **parts):
    predictor, mask_head = Parts(cls_score=classes), Parts(predictor=masks)
    if number_of_stages:
        predictor, mask_head = nn.ModuleList([predictor]), nn.ModuleList([mask_head])
    roi_heads = Parts(box_predictor=predictor, mask_head=mask_head, **parts)
    rpn = Parts(anchor_generator=generator([[8.0]], [1.0], [8]))
    return tiny_target(backbone=nn.Identity(), proposal_generator=rpn, roi_heads=roi_heads)


def cosine_config(boxes, masks, is_cascade, roi_head=""):
    box = f"dict(cls_predictor_cfg={boxes})" if boxes else "dict()"
    mask = f"dict(predictor_cfg={masks})" if masks else "dict()"
    box = f"[{box}, {box}]" if is_cascade else box
    return f"model = dict(roi_head=dict(bbox_head={box}, mask_head={mask}, {roi_head}))"


TWO_STAGE = {"backbone.x": torch.ones(1), "rpn_head.rpn_cls.bias": torch.ones(1)}
LINEAR_LAYERS = nn.Linear(2, 3), nn.Conv2d(2, 3, 1)
COSINE_LAYERS = NormedLinear(2, 3, temperature=20.0), NormedConv2d(2, 3, temperature=20.0)
BOX, MASK = "dict(type='NormedLinear', tempearture=20)", "dict(type='NormedConv2d', tempearture=20)"


@pytest.mark.parametrize("is_cascade", [False, True])
@pytest.mark.parametrize(
    ("boxes", "masks", "layers", "message"),
    [
        ("", "", LINEAR_LAYERS, ""),
        (BOX, MASK, COSINE_LAYERS, ""),
        ("dict(type='NormedLinear')", "dict(type='NormedConv2d')", COSINE_LAYERS, ""),
        ("dict(type='Linear')", "dict(type='Conv')", LINEAR_LAYERS, ""),
        ("", "", COSINE_LAYERS, "of classes: the checkpoint has linear, the config cosine of temp"),
        (BOX, "", COSINE_LAYERS, "last layer of masks: the checkpoint has linear, the config cosi"),
        (BOX, MASK, LINEAR_LAYERS, "has cosine of temperature 20, the config linear; give a con"),
        (BOX.replace("20", "32"), MASK, COSINE_LAYERS, "temperature 32, the config .* 20"),
    ],
)
def test_a_cosine_layer_needs_a_cosine_layer(boxes, masks, layers, message, is_cascade):
    source = tiny_source(TWO_STAGE, cosine_config(boxes, masks, is_cascade))
    conversion = Conversion(source, two_stage(*layers, is_cascade))
    if message:
        with pytest.raises(ValueError, match=message):
            check_facts(conversion)
    else:
        check_facts(conversion)
        assert conversion.assumptions == []


def test_cosine_layers_are_said_where_nothing_is_known():
    conversion = Conversion(tiny_source(TWO_STAGE), two_stage(*COSINE_LAYERS))
    check_facts(conversion)
    assert (
        "last layer of masks: cosine of temperature 20, as in the config" in conversion.assumptions
    )


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("n_iter=3", ""), ("n_iter=2", "the checkpoint has 2, the config 3"), ("", "assumed")],
)
def test_pcb_takes_as_many_steps(text, outcome):
    model = two_stage(*LINEAR_LAYERS, step_weights=(0.2, 0.2, 0.6))
    conversion = Conversion(tiny_source(TWO_STAGE, cosine_config("", "", False, text)), model)
    if outcome.startswith("the"):
        with pytest.raises(ValueError, match=outcome):
            check_facts(conversion)
    else:
        check_facts(conversion)
        assert bool(conversion.assumptions) == bool(outcome)


@pytest.mark.parametrize("is_wrapped", [False, True])
@pytest.mark.parametrize(
    ("loss", "theirs", "outcome"),
    [
        (SoftmaxCrossEntropyLoss(2), "CrossEntropyLoss", ""),
        (SeesawLoss(2), "SeesawPCBLoss", ""),
        (EQLv2Loss(2), "CrossEntropyLoss", "the checkpoint has CrossEntropy, the config EQL"),
        (SoftmaxCrossEntropyLoss(2), "EffectiveClassMarginLoss", "has EffectiveClassMargin, the"),
        (SoftmaxCrossEntropyLoss(2), "OtherLoss", "assumed"),
    ],
)
def test_losses_make_their_own_scores_of_logits(loss, theirs, outcome, is_wrapped):
    model = two_stage(*LINEAR_LAYERS)
    model.model.roi_heads.box_predictor.loss = PCBLoss(loss) if is_wrapped else loss
    text = f"model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(type='{theirs}'))))"
    conversion = Conversion(tiny_source(TWO_STAGE, text), model)
    if outcome.startswith(("the", "has")):
        with pytest.raises(ValueError, match=outcome):
            check_facts(conversion)
    else:
        check_facts(conversion)
        assert bool(conversion.assumptions) == bool(outcome)


def test_one_stage_and_two_stage_detectors_do_not_mix():
    weights = {"backbone.x": torch.ones(1), "rpn_head.rpn_cls.bias": torch.ones(3)}
    with pytest.raises(ValueError, match="of a two-stage detector, the config of a one-stage one"):
        check_facts(Conversion(tiny_source(weights), target()))
    two_stage = tiny_target(roi_heads=Parts())
    with pytest.raises(ValueError, match="of a one-stage detector, the config of a two-stage one"):
        check_facts(Conversion(tiny_source(WEIGHTS), two_stage))


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (["a", "b", "c"], None),
        (["a", "b", "x"], "1 of 3 classes are the same under another name, such as 'x' for 'c' of"),
        ([], "the classes are in the order of"),
        (["a", "b"], "the classes are in the order of"),
        (["a", "c", "b"], "error"),
        (["x", "c", "b"], "error"),
    ],
)
def test_classes_in_another_order_are_an_error(theirs, said):
    name = "test_facts_order"
    MetadataCatalog.get(name).thing_classes = ["a", "b", "c"]
    conversion = Conversion(tiny_source(WEIGHTS, config(), theirs), target(names=[name]))
    try:
        if said == "error":
            with pytest.raises(ValueError, match="class 1 is 'c' in the checkpoint and 'b' in"):
                check_facts(conversion)
        else:
            check_facts(conversion)
            assert conversion.assumptions == ([f"{said} {name}"] if said else [])
    finally:
        MetadataCatalog.remove(name)
