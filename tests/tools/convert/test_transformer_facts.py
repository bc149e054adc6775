"""What no weight of a Co-DETR shows is compared with the config, or said; other sizes fail."""

import pytest
import torch
from tools.convert.co_detr_layout import co_detr
from tools.convert.layouts import as_shapes, resnet, two_stage
from tools.convert.test_layouts import load
from tools.convert.tiny_co_detr import settings, tiny_conversion, tiny_weights

from rankdet.tools.convert.__main__ import convert_all
from rankdet.tools.convert.facts import check_facts
from rankdet.tools.convert.target import build_target

CO_DETR = "coco/co_detr_r50.py"
FASTER = "coco/faster_rcnn_r50_fpn_1x_rs.py"
SAID = [
    "heads of the encoder: 4, as in the config",
    "heads of the decoder's self-attention: 4, as in the config",
    "heads of the decoder's attention: 4, as in the config",
    "temperature of the codes of cells: 10000, as in the config",
    "groups of the neck's normalization: 32, as in the config",
    "place of a cell in its code: -0.5, as in the config",
    "place of the first anchor, in strides: 0, as in the config",
    "loss of classes: CrossEntropy, as in the config",
    "last layer of classes: linear, as in the config",
    "detector with ATSS's head: ATSS, as in the config",
    "the classes are in the order of coco_2017_val",
]


@pytest.fixture(scope="module")
def weights():
    return tiny_weights()


def test_the_release_s_settings_agree(weights):
    conversion = tiny_conversion(weights, settings())
    check_facts(conversion)
    convert_all(conversion)
    assert conversion.assumptions == SAID[-1:]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(heads=8), "heads of the encoder: the checkpoint has 8, the config 4; set model.enco"),
        (dict(own_heads=8), "heads of the decoder's self-attention: the checkpoint has 8, the con"),
        (dict(temperature=", temperature=20"), "codes of cells: the checkpoint has 20, the config"),
        (dict(offset=0.0), "has 0, the config -0.5; rankdet has no other"),
        (dict(groups=16), "has 16, the config 32; set model.neck.num_groups to the other value"),
        (dict(rpn_offset=", center_offset=0.5"), "the checkpoint has 0.5, the config 0; give"),
    ],
)
def test_other_settings_are_an_error(weights, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_facts(tiny_conversion(weights, settings(**changes)))


def test_what_is_not_known_is_said(weights):
    conversion = tiny_conversion(weights)
    check_facts(conversion)
    assert conversion.assumptions == SAID


def test_another_size_of_the_first_boxes_is_an_error(weights):
    conversion = tiny_conversion(weights, settings())
    conversion.target.model.query_selection.smallest_size = 0.1
    with pytest.raises(ValueError, match=r"has 0.05, the config 0.1; set model.query_selection.sm"):
        check_facts(conversion)


def test_units_of_roi_boxes_are_changed_exactly(weights):
    conversion = tiny_conversion(weights, settings(stds=[1.0, 1.0, 1.0, 1.0]))
    check_facts(conversion)
    result = convert_all(conversion)
    factors = torch.tensor([10.0, 10, 5, 5]).repeat(3)
    found = result.weights["heads.rcnn.roi_heads.box_predictor.bbox_pred.bias"]
    torch.testing.assert_close(found, factors * weights["roi_head.0.bbox_head.fc_reg.bias"])


@pytest.mark.parametrize(
    ("name", "layout", "kinds"),
    [
        (FASTER, co_detr(resnet()), ("transformer", "two-stage")),
        ("coco/atss_r50_fpn_1x.py", co_detr(resnet()), ("transformer", "one-stage")),
        (CO_DETR, two_stage(resnet(), 80, 80, masks=False), ("two-", "transformer")),
    ],
)
def test_another_kind_of_detector_is_an_error(name, layout, kinds):
    conversion = tiny_conversion(as_shapes(layout))
    if name != CO_DETR:
        conversion.target = build_target(load(name), None)
    with pytest.raises(ValueError, match=f"is of a {kinds[0]}.*, the config of a {kinds[1]} one"):
        check_facts(conversion)


def other(weights, name, shape):
    return {**weights, name: torch.zeros(shape)}


@pytest.mark.parametrize(
    ("name", "shape", "remedy"),
    [
        ("query_head.query_embedding.weight", (7, 32), r"as many queries \(model.query_selection"),
        ("query_head.cls_branches.0.bias", (4,), r"as many classes \(model.num_classes\)"),
        ("query_head.transformer.level_embeds", (5, 32), "as many layers, channels, heads, level"),
        ("neck.convs.1.conv.weight", (32, 96, 1, 1), "the same backbone and as many levels"),
        ("query_head.transformer.decoder.layers.2.norms.0.bias", (32,), "has no decoder.layers.2"),
        ("query_head.label_embedding.weight", (3, 32), "weights of the checkpoint are not known"),
    ],
)
def test_other_shapes_are_an_error(weights, name, shape, remedy):
    with pytest.raises(ValueError, match=remedy):
        convert_all(tiny_conversion(other(weights, name, shape)))
