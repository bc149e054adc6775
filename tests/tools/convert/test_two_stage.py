"""A converted RPN, RoI head and PCB give what the formulas of mmdetection give, written slowly."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.proposal_generator import StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from tools.convert.tiny_target import (
    Parts,
    load_converted,
    random_weights,
    tiny_conversion,
    tiny_target,
)
from torch import nn

from rankdet.losses import SoftmaxCrossEntropyLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.iterative_head import PredictionAttention
from rankdet.tools.convert.rules import convert_weights
from rankdet.tools.convert.two_stage import box_head_rules, pcb_rules, rpn_rules

C, D = 3, 4
RATIOS = (0.5, 1.0, 2.0)
CODER = "bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means={}, target_stds={})"


def slow_conv(x, weight, bias=None):
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def generator(sizes, ratios, strides):
    return DefaultAnchorGenerator(sizes=sizes, aspect_ratios=ratios, strides=strides, offset=0.0)


def rpn_case(config, ours):
    anchors = generator([[32.0]], RATIOS, [4])
    head = StandardRPNHead(in_channels=D, num_anchors=3)
    rpn = Parts(rpn_head=head, anchor_generator=anchors, box2box_transform=Box2BoxTransform(ours))
    target = tiny_target(proposal_generator=rpn, roi_heads=nn.Identity())
    weights = random_weights(
        {
            "rpn_head.rpn_conv.weight": (D, D, 3, 3),
            "rpn_head.rpn_conv.bias": (D,),
            "rpn_head.rpn_cls.weight": (3, D, 1, 1),
            "rpn_head.rpn_cls.bias": (3,),
            "rpn_head.rpn_reg.weight": (12, D, 1, 1),
            "rpn_head.rpn_reg.bias": (12,),
        }
    )
    conversion = tiny_conversion(weights, target, config)
    load_converted(conversion, convert_weights(conversion, rpn_rules()))
    return head, weights, conversion


@pytest.mark.parametrize("ours", [(1, 1, 1, 1), (10, 10, 5, 5)])
@pytest.mark.parametrize("theirs", [[1.0] * 4, [0.1, 0.1, 0.2, 0.2]])
def test_an_rpn_predicts_the_same_changes_of_anchors(ours, theirs):
    config = f"model = dict(rpn_head=dict({CODER.format([0.0] * 4, theirs)}))"
    head, w, _ = rpn_case(config, ours)
    feature = torch.randn(1, D, 2, 2)
    with torch.no_grad():
        (logits,), (deltas,) = head([feature])
        hidden = slow_conv(feature, w["rpn_head.rpn_conv.weight"], w["rpn_head.rpn_conv.bias"])
        raw = slow_conv(hidden.relu(), w["rpn_head.rpn_reg.weight"], w["rpn_head.rpn_reg.bias"])
        objectness = slow_conv(
            hidden.relu(), w["rpn_head.rpn_cls.weight"], w["rpn_head.rpn_cls.bias"]
        )
    assert torch.allclose(logits, objectness, atol=1e-5)
    for row in range(12):
        change = raw[:, row] * theirs[row % 4]
        assert torch.allclose(deltas[:, row] / ours[row % 4], change, atol=1e-5)


def test_units_that_are_not_known_are_those_of_the_config_and_said():
    head, w, conversion = rpn_case("", (10, 10, 5, 5))
    assert torch.equal(head.anchor_deltas.weight, w["rpn_head.rpn_reg.weight"])
    assert "rpn boxes are in units of [0.1,0.1,0.2,0.2], as in the config" in conversion.assumptions


@pytest.mark.parametrize(
    "coder",
    [
        "'x'",
        "[1, 2]",
        "dict(target_stds=None)",
        "dict(target_stds=[0.1 / 2, 0.1, 0.2, 0.2])",
        "dict(target_stds=[0.1])",
        "dict(target_stds=[0, 1, 1, 1])",
        "dict(target_stds=[[1], [1], [1], [1]])",
        "dict(target_means=[1e999, 0, 0, 0])",
    ],
)
def test_units_that_can_not_be_read_are_those_of_the_config(coder):
    config = f"model = dict(rpn_head=dict(bbox_coder={coder}))"
    head, w, conversion = rpn_case(config, (10, 10, 5, 5))
    assert torch.equal(head.anchor_deltas.weight, w["rpn_head.rpn_reg.weight"])
    assert any("rpn boxes are in units" in one for one in conversion.assumptions)


def test_boxes_of_another_coder_are_an_error():
    config = "model = dict(rpn_head=dict(bbox_coder=dict(type='TBLRBBoxCoder')))"
    with pytest.raises(ValueError, match=r"are coded by mmdetection's TBLRBBoxCoder"):
        rpn_case(config, (1, 1, 1, 1))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("bbox_coder=dict(type='DeltaXYWHBBoxCoder')", [10, 10, 5, 5]),
        ("type='Shared2FCBBoxHead'", [1, 1, 1, 1]),
        ("target_stds=[0.2, 0.2, 0.4, 0.4]", [2, 2, 2, 2]),
    ],
)
def test_units_that_a_config_leaves_out(head, expected):
    """They are ones in a coder, and a tenth and a fifth in a RoI head without one."""
    predictor = Parts(box2box_transform=Box2BoxTransform((10, 10, 5, 5)), bbox_pred=nn.Linear(2, 4))
    target = tiny_target(roi_heads=Parts(box_predictor=predictor))
    weights = {"roi_head.bbox_head.fc_reg.weight": torch.ones(4, 2)}
    conversion = tiny_conversion(
        weights, target, f"model = dict(roi_head=dict(bbox_head=dict({head})))"
    )
    result = convert_weights(conversion, box_head_rules())
    found = result.weights["roi_heads.box_predictor.bbox_pred.weight"]
    assert found[:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(10, D, 1, 1), ()])
def test_rows_that_are_no_boxes_are_an_error_that_names_both_sides(shape):
    anchors = generator([[32.0]], RATIOS, [4])
    rpn = Parts(
        rpn_head=StandardRPNHead(in_channels=D, num_anchors=3),
        anchor_generator=anchors,
        box2box_transform=Box2BoxTransform((10, 10, 5, 5)),
    )
    target = tiny_target(proposal_generator=rpn, roi_heads=nn.Identity())
    config = "model = dict(rpn_head=dict(type='RPNHead'))"
    conversion = tiny_conversion({"rpn_head.rpn_reg.weight": torch.ones(shape)}, target, config)
    with pytest.raises(ValueError, match=r"has shape .* but proposal_generator.* \(12, 4, 1, 1\)"):
        convert_weights(conversion, rpn_rules())


def roi_case(prefix, weights_of, config="", is_agnostic=False, ours=(10, 10, 5, 5)):
    box_head = FastRCNNConvFCHead(
        ShapeSpec(channels=2, height=3, width=3), conv_dims=[], fc_dims=[D, D]
    )
    predictor = BoxPredictor(
        ShapeSpec(channels=D),
        loss=SoftmaxCrossEntropyLoss(C),
        num_classes=C,
        box2box_transform=Box2BoxTransform(ours),
        cls_agnostic_bbox_reg=is_agnostic,
    )
    target = tiny_target(roi_heads=Parts(box_head=box_head, box_predictor=predictor))
    shapes = {
        "shared_fcs.0.weight": (D, 18),
        "shared_fcs.0.bias": (D,),
        "shared_fcs.1.weight": (D, D),
        "shared_fcs.1.bias": (D,),
        **weights_of,
    }
    weights = random_weights({f"{prefix}bbox_head.{k}": v for k, v in shapes.items()})
    conversion = tiny_conversion(weights, target, config)
    load_converted(conversion, convert_weights(conversion, box_head_rules()))
    w = {name.removeprefix(f"{prefix}bbox_head."): value for name, value in weights.items()}
    pooled = torch.randn(5, 2, 3, 3)
    with torch.no_grad():
        logits, deltas = predictor(box_head(pooled))
        hidden = F.linear(pooled.flatten(1), w["shared_fcs.0.weight"], w["shared_fcs.0.bias"])
        hidden = F.linear(hidden.relu(), w["shared_fcs.1.weight"], w["shared_fcs.1.bias"]).relu()
        theirs = [F.linear(hidden, w[f"{x}.weight"], w[f"{x}.bias"]) for x in ("fc_cls", "fc_reg")]
    return logits, deltas, *theirs


def layers(logits, deltas):
    return {
        "fc_cls.weight": (logits, D),
        "fc_cls.bias": (logits,),
        "fc_reg.weight": (deltas, D),
        "fc_reg.bias": (deltas,),
    }


def test_a_box_head_gives_the_same_logits_and_boxes():
    stds = [0.05, 0.05, 0.1, 0.1]
    config = f"model = dict(roi_head=dict(bbox_head=dict({CODER.format([0.0] * 4, stds)})))"
    logits, deltas, their_logits, their_deltas = roi_case("roi_head.", layers(C + 1, 4 * C), config)
    assert torch.allclose(logits, their_logits, atol=1e-5)
    for column in range(4 * C):
        ours = deltas[:, column] / (10, 10, 5, 5)[column % 4]
        assert torch.allclose(ours, their_deltas[:, column] * stds[column % 4], atol=1e-5)


def test_background_of_mmdetection_1_goes_last():
    logits, deltas, theirs, their_deltas = roi_case("", layers(C + 1, 4 * (C + 1)))
    for class_id in range(C):
        assert torch.allclose(logits[:, class_id], theirs[:, class_id + 1], atol=1e-5)
        rows = slice(4 * class_id, 4 * class_id + 4), slice(4 * class_id + 4, 4 * class_id + 8)
        assert torch.allclose(deltas[:, rows[0]], their_deltas[:, rows[1]], atol=1e-5)
    assert torch.allclose(logits[:, C], theirs[:, 0], atol=1e-5)


def test_boxes_of_no_class_of_mmdetection_1_stay():
    _, deltas, _, theirs = roi_case("", layers(C + 1, 4), is_agnostic=True)
    assert torch.allclose(deltas, theirs, atol=1e-5)


@pytest.mark.parametrize("ours", [(10, 10, 5, 5), (1, 1, 1, 1)])
def test_pcb_reads_its_predictions_as_released(ours):
    side, hidden, logits, deltas = 2, 5, C + 1, 4 * C
    refinement = PredictionAttention(
        ShapeSpec(channels=D, height=side, width=side), logits, deltas, hidden_features=hidden
    )
    predictor = Parts(box2box_transform=Box2BoxTransform(ours))
    target = tiny_target(roi_heads=Parts(refinement=refinement, box_predictor=predictor))
    shapes = {}
    for name, inputs, outputs in (("cls", logits, D), ("loc", deltas, side * side)):
        at = f"roi_head.{name}_sub_module.layers."
        shapes |= {f"{at}fc1.weight": (hidden, inputs), f"{at}fc1.bias": (hidden,)}
        shapes |= {f"{at}fc2.weight": (outputs, hidden), f"{at}fc2.bias": (outputs,)}
    w = random_weights(shapes)
    stds = [0.1, 0.1, 0.2, 0.2]
    config = f"model = dict(roi_head=dict(bbox_head=dict({CODER.format([0.0] * 4, stds)})))"
    conversion = tiny_conversion(w, target, config)
    load_converted(conversion, convert_weights(conversion, pcb_rules()))
    x, z, b = torch.randn(2, D, side, side), torch.randn(2, logits), torch.randn(2, deltas)

    def mlp(name, inputs):
        at = f"roi_head.{name}_sub_module.layers."
        inner = F.linear(inputs, w[f"{at}fc1.weight"], w[f"{at}fc1.bias"]).relu()
        return F.linear(inner, w[f"{at}fc2.weight"], w[f"{at}fc2.bias"])

    factors, summands = mlp("loc", b), mlp("cls", z)
    units = torch.tensor([o * s for o, s in zip(ours, stds, strict=True)]).repeat(C)
    with torch.no_grad():
        found = refinement(x, (z, b * units))
    for n in range(2):
        for channel in range(D):
            for cell in range(side * side):
                i, j = divmod(cell, side)
                expected = x[n, channel, i, j] * factors[n, cell] + summands[n, channel]
                assert found[n, channel, i, j] == pytest.approx(expected.item(), abs=1e-4)
