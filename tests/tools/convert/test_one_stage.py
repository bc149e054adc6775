"""A converted one-stage head gives what the formulas of mmdetection give, written slowly here."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from tools.convert.anchor_boxes import generator, mmdet_anchors, sides
from tools.convert.tiny_target import (
    load_converted,
    random_weights,
    tiny_conversion,
    tiny_target,
)
from torchvision.ops import deform_conv2d

from rankdet.modeling.dense.dense_head import QualityHead
from rankdet.modeling.dense.varifocal_head import VarifocalHead
from rankdet.tools.convert.completion import complete
from rankdet.tools.convert.one_stage import one_stage_rules
from rankdet.tools.convert.rules import convert_weights

C, D, STRIDES = 3, 4, (8, 16)
RATIOS, SCALES = (0.5, 1.0, 2.0), (4.0, 4 * math.sqrt(2))
CODER = "bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means={}, target_stds={})"


def slow_conv(x, weight, bias=None):
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def decode(deltas, width, height, means, stds):
    """Box around (0, 0) that mmdetection's coder makes of an anchor's deltas."""
    dx, dy, dw, dh = (d * s + m for d, s, m in zip(deltas, stds, means, strict=True))
    return [dx * width, dy * height, width * math.exp(dw), height * math.exp(dh)]


def by_shape(anchors, rows):
    """Rows of anchors in an order that both sides share: that of their shapes."""
    keyed = sorted(zip(anchors, rows, strict=True), key=lambda x: [round(s, 2) for s in x[0]])
    return [row for _, row in keyed]


@pytest.mark.parametrize("ours", [(10, 10, 5, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize(
    "means", [(0.0, 0.0, 0.0, 0.0), (0.1, -0.2, 0.05, 0.0)], ids=["no means", "means"]
)
def test_a_retinanet_head_gives_the_logits_and_boxes_of_each_anchor(ours, means):
    stds = (0.1, 0.1, 0.2, 0.2)
    anchors = generator([[s * x for x in SCALES] for s in STRIDES], RATIOS, STRIDES)
    head = RetinaNetHead(
        input_shape=[ShapeSpec(channels=D)] * 2, num_classes=C, num_anchors=6, conv_dims=[D]
    )
    target = tiny_target(
        head=head, anchor_generator=anchors, box2box_transform=Box2BoxTransform(ours)
    )
    weights = random_weights(
        {
            **{f"bbox_head.{x}_convs.0.conv.weight": (D, D, 3, 3) for x in ("cls", "reg")},
            **{f"bbox_head.{x}_convs.0.conv.bias": (D,) for x in ("cls", "reg")},
            "bbox_head.retina_cls.weight": (6 * C, D, 3, 3),
            "bbox_head.retina_cls.bias": (6 * C,),
            "bbox_head.retina_reg.weight": (24, D, 3, 3),
            "bbox_head.retina_reg.bias": (24,),
        }
    )
    w = {name.removeprefix("bbox_head."): value for name, value in weights.items()}
    config = (
        f"model = dict(bbox_head=dict({CODER.format(list(means), list(stds))}, anchor_generator="
        f"dict(ratios={list(RATIOS)}, octave_base_scale=4, scales_per_octave=2, strides=[8, 16])))"
    )
    conversion = tiny_conversion(weights, target, config)
    load_converted(conversion, convert_weights(conversion, one_stage_rules(target)))
    feature = torch.randn(1, D, 2, 2, generator=torch.Generator().manual_seed(1)) / 4
    with torch.no_grad():
        logits, deltas = (levels[0] for levels in head([feature, feature]))
        hidden = {
            x: slow_conv(feature, w[f"{x}_convs.0.conv.weight"], w[f"{x}_convs.0.conv.bias"]).relu()
            for x in ("cls", "reg")
        }
        their_logits, their_deltas = (
            slow_conv(hidden[x], w[f"retina_{x}.weight"], w[f"retina_{x}.bias"])
            for x in ("cls", "reg")
        )
    theirs, mine = mmdet_anchors(RATIOS, SCALES, 8), sides(anchors, 0)
    for y in range(2):
        for x in range(2):
            expected = by_shape(theirs, their_logits[0, :, y, x].view(6, C).tolist())
            found = by_shape(mine, logits[0, :, y, x].view(6, C).tolist())
            assert torch.allclose(torch.tensor(found), torch.tensor(expected), atol=1e-5)
            raw = their_deltas[0, :, y, x].view(6, 4).clamp(-3, 3)
            coded = deltas[0, :, y, x].view(6, 4)
            ratio = torch.tensor(stds) * torch.tensor(ours, dtype=torch.float)
            shift = torch.tensor(means) * torch.tensor(ours, dtype=torch.float)
            coded = ((coded - shift) / ratio).clamp(-3, 3) * ratio + shift
            boxes = [
                decode(row, w, h, means, stds)
                for row, (w, h) in zip(raw.tolist(), theirs, strict=True)
            ]
            ours_decoded = [
                decode(row, w, h, (0, 0, 0, 0), [1 / o for o in ours])
                for row, (w, h) in zip(coded.tolist(), mine, strict=True)
            ]
            expected, found = by_shape(theirs, boxes), by_shape(mine, ours_decoded)
            assert torch.allclose(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-3)


def test_centerness_is_in_the_order_of_the_anchors():
    head = QualityHead(
        input_shape=[ShapeSpec(channels=D)], num_classes=C, num_anchors=4, conv_dims=[D], norm=""
    )
    anchors = generator([[32.0, 64.0]], [0.5, 1.0], [8])
    weights = {"bbox_head.atss_centerness.bias": torch.arange(4.0)}
    conversion = tiny_conversion(weights, tiny_target(head=head, anchor_generator=anchors))
    result = convert_weights(conversion, one_stage_rules(conversion.target))
    assert result.weights["head.ctrness.bias"].tolist() == [0, 2, 1, 3]


def scaled_case(scales):
    """A head of three levels, and a checkpoint with these numbers of its levels."""
    head = QualityHead(
        input_shape=[ShapeSpec(channels=D)] * 3, num_classes=C, conv_dims=[D], norm=""
    )
    anchors = generator([[64.0], [128.0], [256.0]], [1.0], [8, 16, 32])
    target = tiny_target(
        head=head, anchor_generator=anchors, box2box_transform=Box2BoxTransform((10, 10, 5, 5))
    )
    shapes = {
        f"bbox_head.atss_{x}": (n, D, 3, 3) for x, n in (("cls", C), ("reg", 4), ("centerness", 1))
    }
    shapes |= {f"bbox_head.{x}_convs.0.conv": (D, D, 3, 3) for x in ("cls", "reg")}
    weights = random_weights({f"{name}.weight": shape for name, shape in shapes.items()})
    weights |= random_weights({f"{name}.bias": shape[:1] for name, shape in shapes.items()}, 1)
    weights |= {f"bbox_head.scales.{i}.scale": torch.tensor(s) for i, s in scales.items()}
    return head, weights, tiny_conversion(weights, target)


def test_a_scaled_head_multiplies_boxes_by_the_number_of_the_level():
    scales = {0: 0.5, 1: 2.0, 2: 3.0}
    head, weights, conversion = scaled_case(scales)
    load_converted(conversion, convert_weights(conversion, one_stage_rules(conversion.target)))
    features = [torch.randn(1, D, 3, 3), torch.randn(1, D, 2, 2), torch.randn(1, D, 1, 1)]

    def layer(name, x):
        return slow_conv(x, weights[f"bbox_head.{name}.weight"], weights[f"bbox_head.{name}.bias"])

    with torch.no_grad():
        for level, outputs in enumerate(zip(*head(features), strict=True)):
            cls = layer("cls_convs.0.conv", features[level]).relu()
            reg = layer("reg_convs.0.conv", features[level]).relu()
            expected = (
                layer("atss_cls", cls),
                scales[level] * layer("atss_reg", reg),
                layer("atss_centerness", reg),
            )
            for found, one in zip(outputs, expected, strict=True):
                assert torch.allclose(found, one, atol=1e-4)


def test_a_level_without_its_number_is_an_error():
    _, _, conversion = scaled_case({0: 0.5, 2: 3.0})
    result = convert_weights(conversion, one_stage_rules(conversion.target))
    with pytest.raises(ValueError, match="lacks number 1 of the 3 of head"):
        complete(conversion, result)


def test_a_number_of_a_level_that_is_not_there_is_an_error():
    _, _, conversion = scaled_case({0: 0.5, 1: 1.0, 2: 3.0, 3: 1.0})
    with pytest.raises(ValueError, match=r"is no number 3 of head.scales \(3,\)"):
        convert_weights(conversion, one_stage_rules(conversion.target))


def test_a_varifocal_head_reads_the_star_as_deformable_convolutions_do():
    head = VarifocalHead(
        input_shape=[ShapeSpec(channels=D, stride=8)], num_classes=C, conv_dims=[D], norm=""
    )
    target = tiny_target(head=head, anchor_generator=generator([[64.0]], [1.0], [8]))
    names = {
        "cls_convs.0.conv": D,
        "reg_convs.0.conv": D,
        "vfnet_reg_conv.conv": D,
        "vfnet_reg": 4,
        "vfnet_cls": C,
        "vfnet_reg_refine": 4,
        "vfnet_reg_refine_dconv": D,
        "vfnet_cls_dconv": D,
    }
    weights = random_weights({f"bbox_head.{k}.weight": (n, D, 3, 3) for k, n in names.items()})
    weights = {name: value / 6 for name, value in weights.items()}
    weights |= random_weights(
        {f"bbox_head.{k}.bias": (n,) for k, n in names.items() if "dconv" not in k}, 1
    )
    weights["bbox_head.scales.0.scale"] = torch.tensor(0.3)
    weights["bbox_head.scales_refine.0.scale"] = torch.tensor(0.7)
    conversion = tiny_conversion(weights, target)
    load_converted(conversion, convert_weights(conversion, one_stage_rules(target)))
    w = {name.removeprefix("bbox_head."): value for name, value in weights.items()}

    def layer(name, x):
        return slow_conv(x, w[f"{name}.weight"], w[f"{name}.bias"])

    feature = torch.randn(1, D, 5, 5, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        cls, reg = (layer(f"{x}_convs.0.conv", feature).relu() for x in ("cls", "reg"))
        first = (0.3 * layer("vfnet_reg", layer("vfnet_reg_conv.conv", reg).relu())).exp() * 64
        left, top, right, bottom = (first / 8).unbind(1)
        zero = torch.zeros_like(left)
        offsets = []  # Pairs (y, x) of the 3 x 3 points, from the ordinary grid.
        for i, dy in enumerate((-top, zero, bottom)):
            for j, dx in enumerate((-left, zero, right)):
                offsets += [dy - (i - 1), dx - (j - 1)]
        offset = torch.stack(offsets, 1)
        refined = deform_conv2d(reg, offset, w["vfnet_reg_refine_dconv.weight"], padding=1).relu()
        factors = (0.7 * layer("vfnet_reg_refine", refined)).exp()
        star = deform_conv2d(cls, offset, w["vfnet_cls_dconv.weight"], padding=1).relu()
        logits, boxes, first_boxes = (levels[0] for levels in head([feature]))
    assert torch.allclose(first_boxes, first, rtol=1e-4)
    assert torch.allclose(boxes, first * factors, rtol=1e-3)
    assert torch.allclose(logits, layer("vfnet_cls", star), atol=1e-4)
