"""Heads with a scale per level equal their layers, one after another."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch import nn
from torch.nn import functional as F  # noqa: N812

from rankdet.modeling.dense.dense_head import ClassQualityHead, QualityHead, ScaledHead

CHANNELS, NUM_CLASSES, NUM_ANCHORS, GROUPS = 32, 3, 2, 32
HEADS = {"two outputs": ScaledHead, "boxes": QualityHead, "classes": ClassQualityHead}
heads = pytest.mark.parametrize("name", HEADS)


def make_head(name, norm="GN", conv_bias=False, num_levels=2):
    torch.manual_seed(0)
    return HEADS[name](
        input_shape=[ShapeSpec(channels=CHANNELS)] * num_levels,
        num_classes=NUM_CLASSES,
        num_anchors=NUM_ANCHORS,
        conv_dims=[CHANNELS, CHANNELS],
        norm=norm,
        conv_bias=conv_bias,
    )


def random_head(*args, **options):
    head = make_head(*args, **options)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    return head


def make_features(num_levels=2):
    generator = torch.Generator().manual_seed(1)
    sizes = [(5, 4), (3, 2)][:num_levels]
    return [torch.randn(2, CHANNELS, *size, generator=generator) for size in sizes]


def slow_conv(weights, name, x):
    return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), padding=1)


def slow_branch(weights, name, x, norm):
    """Two convolutions, each with group norm and ReLU."""
    step = 3 if norm else 2
    for layer in (0, step):
        x = slow_conv(weights, f"{name}.{layer}", x)
        if norm:
            group = (weights[f"{name}.{layer + 1}.{key}"] for key in ("weight", "bias"))
            x = F.group_norm(x, GROUPS, *group)
        x = x.relu()
    return x


@pytest.mark.parametrize(("norm", "conv_bias"), [("GN", False), ("GN", True), ("", False)])
@heads
def test_equals_its_layers(name, norm, conv_bias):
    head, features = random_head(name, norm, conv_bias), make_features()
    weights, outputs = head.state_dict(), head(features)
    assert len(outputs) == (2 if name == "two outputs" else 3)
    for level, feature in enumerate(features):
        classes = slow_branch(weights, "cls_subnet", feature, norm)
        boxes = slow_branch(weights, "bbox_subnet", feature, norm)
        expected = [
            slow_conv(weights, "cls_score", classes),
            weights["scales"][level] * slow_conv(weights, "bbox_pred", boxes),
        ]
        if name != "two outputs":
            branch = boxes if name == "boxes" else classes
            expected.append(slow_conv(weights, "ctrness", branch))
        for output, value in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output[level], value)


@pytest.mark.parametrize(
    ("norm", "conv_bias", "num"), [("GN", False, 0), ("GN", True, 4), ("", False, 4)]
)
def test_biases_in_front_of_a_norm(norm, conv_bias, num):
    names = dict(make_head("boxes", norm, conv_bias).named_parameters())
    convolutions = [name for name in names if "subnet" in name and names[name].dim() == 4]
    assert len(convolutions) == 4
    assert sum(name.replace("weight", "bias") in names for name in convolutions) == num


@heads
def test_starts_as_released(name):
    """Normal with deviation 0.01, biases 0 but those of the classes, scales and norms 1."""
    for key, value in make_head(name).named_parameters():
        if value.dim() == 4:
            assert value.std().item() == pytest.approx(0.01, rel=0.1)
            assert abs(value.mean().item()) < 1e-3
        elif key == "cls_score.bias":
            torch.testing.assert_close(value.sigmoid(), torch.full_like(value, 0.01))
        else:
            assert (value == (0 if key.endswith("bias") else 1)).all(), key


def test_a_feature_without_a_scale_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        make_head("boxes", num_levels=2)(make_features(1))
