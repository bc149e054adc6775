"""Converted backbones compute what the names of their weights say, written slowly here."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock, ResNet
from tools.convert.layouts import as_weights, conv_and_norm, swin
from tools.convert.tiny_target import (
    Parts,
    load_converted,
    random_weights,
    tiny_conversion,
    tiny_target,
)
from torch import nn

from rankdet.modeling.backbone import StochasticDepthSwin
from rankdet.tools.convert.backbones import backbone_rules
from rankdet.tools.convert.rules import convert_weights
from rankdet.tools.convert.settings import ImageFormat

RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PYTORCH = ImageFormat("RGB", *RGB)
OURS = [
    PYTORCH,
    ImageFormat("BGR", RGB[0][::-1], RGB[1][::-1]),
    ImageFormat("BGR", RGB[0][::-1], (1.0, 1.0, 1.0)),
    ImageFormat("RGB", RGB[0], (1.0, 2.0, 4.0)),
]
THEIRS = {
    "pytorch": (True, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    "caffe": (False, [103.53, 116.28, 123.675], [1.0, 1.0, 1.0]),
    "resnext": (False, [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]),
}


def normalized(image, channels, mean, std):
    """An RGB image as a detector gets it."""
    ordered = image if channels == "RGB" else image[[2, 1, 0]]
    return torch.stack([(ordered[i] - mean[i]) / std[i] for i in range(3)])[None]


def stem(image_format, num_out=4):
    bottom_up = Parts(stem=Parts(conv1=nn.Conv2d(3, num_out, 3, bias=False)))
    return tiny_target(image_format, backbone=Parts(bottom_up=bottom_up))


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("style", THEIRS)
def test_the_first_convolution_takes_pixels_as_the_config_gives_them(style, ours):
    to_rgb, mean, std = THEIRS[style]
    target = stem(ours)
    weights = random_weights({"backbone.conv1.weight": (4, 3, 3, 3)})
    config = f"img_norm_cfg = dict(mean={mean}, std={std}, to_rgb={to_rgb})\nmodel = dict()"
    conversion = tiny_conversion(weights, target, config)
    model = load_converted(
        conversion, convert_weights(conversion, backbone_rules("backbone.", "backbone.bottom_up."))
    )
    image = torch.rand(3, 6, 6) * 255
    theirs = normalized(image, "RGB" if to_rgb else "BGR", mean, std)
    with torch.no_grad():
        found = model.backbone.bottom_up.stem.conv1(normalized(image, *ours))
    assert torch.allclose(found, F.conv2d(theirs, *weights.values()), rtol=1e-3, atol=1e-4)


def test_another_mean_is_an_error_with_the_remedy():
    target = stem(OURS[0])
    weights = random_weights({"backbone.conv1.weight": (4, 3, 3, 3)})
    config = (
        "model = dict(data_preprocessor=dict(mean=[102.98, 115.95, 122.77], std=[1.0, 1.0, 1.0], "
        "bgr_to_rgb=False))"
    )
    conversion = tiny_conversion(weights, target, config)
    with pytest.raises(ValueError, match=r"add model.pixel_mean='\[122.77,115.95,102.98\]'"):
        convert_weights(conversion, backbone_rules("backbone.", "backbone.bottom_up."))


def test_an_unknown_pixel_format_is_imagenets_and_said():
    conversion = tiny_conversion(
        random_weights({"backbone.conv1.weight": (4, 3, 3, 3)}), stem(OURS[0])
    )
    result = convert_weights(conversion, backbone_rules("backbone.", "backbone.bottom_up."))
    weight = conversion.source.weights["backbone.conv1.weight"]
    assert torch.equal(result.weights["backbone.bottom_up.stem.conv1.weight"], weight)
    (sentence,) = conversion.assumptions
    assert sentence.startswith("pixels enter as RGB with ImageNet's mean")


def small_resnet():
    """Two stages of one and two bottlenecks."""
    layout = conv_and_norm("conv1", "bn1", 4, 3, 7, 7)
    for at, inputs, inner, outputs in (
        ("layer1.0.", 4, 2, 8),
        ("layer2.0.", 8, 4, 16),
        ("layer2.1.", 16, 4, 16),
    ):
        layout |= conv_and_norm(f"{at}conv1", f"{at}bn1", inner, inputs, 1, 1)
        layout |= conv_and_norm(f"{at}conv2", f"{at}bn2", inner, inner, 3, 3)
        layout |= conv_and_norm(f"{at}conv3", f"{at}bn3", outputs, inner, 1, 1)
        if at.endswith("0."):
            name = f"{at}downsample."
            layout |= conv_and_norm(f"{name}0", f"{name}1", outputs, inputs, 1, 1)
    return layout


def slow_resnet(w, x):
    """Of style pytorch: the stride is in the second convolution of a block."""

    def conv(name, x, stride=1):
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)

    def bn(name, x):
        mean, var = (w[f"{name}.running_{s}"][:, None, None] for s in ("mean", "var"))
        scale, shift = (w[f"{name}.{s}"][:, None, None] for s in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = F.max_pool2d(bn("bn1", conv("conv1", x, 2)).relu(), 3, 2, 1)
    for at, stride in (("layer1.0.", 1), ("layer2.0.", 2), ("layer2.1.", 1)):
        y = bn(f"{at}bn1", conv(f"{at}conv1", x)).relu()
        y = bn(f"{at}bn2", conv(f"{at}conv2", y, stride)).relu()
        y = bn(f"{at}bn3", conv(f"{at}conv3", y))
        if f"{at}downsample.0.weight" in w:
            x = bn(f"{at}downsample.1", conv(f"{at}downsample.0", x, stride))
        x = (x + y).relu()
    return x


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_resnet_computes_what_its_weights_say(norm, prefix):
    stages = [
        ResNet.make_stage(
            BottleneckBlock,
            number,
            stride_per_block=[stride] + [1] * (number - 1),
            in_channels=inputs,
            out_channels=2 * inner * 2,
            bottleneck_channels=inner,
            stride_in_1x1=False,
            norm=norm,
        )
        for number, stride, inputs, inner in ((1, 1, 4, 2), (2, 2, 8, 4))
    ]
    body = ResNet(BasicStem(3, 4, norm), stages, out_features=["res3"])
    target = tiny_target(PYTORCH, backbone=Parts(bottom_up=body))
    weights = as_weights(small_resnet())
    conversion = tiny_conversion({prefix + k: v for k, v in weights.items()}, target)
    result = convert_weights(conversion, backbone_rules(prefix, "backbone.bottom_up."))
    load_converted(conversion, result)
    assert bool(result.ignored) == (norm == "FrozenBN")
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found = body.eval()(image)["res3"]
    assert torch.allclose(found, slow_resnet(weights, image), rtol=1e-4, atol=1e-4)


def slow_relative_index():
    """As mmdetection's table of windows of 7: row difference times 13 plus column difference."""
    cells = [(i, j) for i in range(7) for j in range(7)]
    return torch.tensor([[(a - c + 6) * 13 + b - d + 6 for c, d in cells] for a, b in cells])


def tiny_swin():
    body = StochasticDepthSwin(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    layout = swin((1, 1, 1, 1), (1, 1, 2, 2), 8)
    target = tiny_target(PYTORCH, backbone=Parts(bottom_up=body))
    weights = as_weights({f"backbone.{name}": shape for name, shape in layout.items()})
    for name in weights:
        if name.endswith("relative_position_index"):
            weights[name] = slow_relative_index()
    return body, target, weights


def test_the_patches_of_a_swin_are_merged_as_by_unfold():
    body, target, weights = tiny_swin()
    conversion = tiny_conversion(weights, target)
    load_converted(
        conversion, convert_weights(conversion, backbone_rules("backbone.", "backbone.bottom_up."))
    )
    for stage in range(3):
        channels = 8 * 2**stage
        x = torch.randn(2, 4 * 6, channels)
        at = f"backbone.stages.{stage}.downsample."
        image = x.transpose(1, 2).reshape(2, channels, 4, 6)
        patches = F.unfold(image, 2, stride=2).transpose(1, 2)
        scale, shift = weights[f"{at}norm.weight"], weights[f"{at}norm.bias"]
        normed = F.layer_norm(patches, (4 * channels,), scale, shift)
        with torch.no_grad():
            found = body.layers[stage].downsample(x, 4, 6)
        expected = F.linear(normed, weights[f"{at}reduction.weight"])
        assert torch.allclose(found, expected, atol=1e-4)


def test_tables_of_relative_positions_mean_the_same():
    body, target, weights = tiny_swin()
    table = body.layers[0].blocks[0].attn.relative_position_index.clone()
    assert torch.equal(table, slow_relative_index())
    conversion = tiny_conversion(weights, target)
    load_converted(
        conversion, convert_weights(conversion, backbone_rules("backbone.", "backbone.bottom_up."))
    )
    name = "backbone.stages.3.blocks.0.attn.w_msa.relative_position_bias_table"
    found = body.layers[3].blocks[0].attn.relative_position_bias_table
    assert torch.equal(found, weights[name])


def test_the_original_names_of_swin_keep_their_order():
    body, target, _ = tiny_swin()
    weights = {name: torch.rand_like(value.float()) for name, value in body.state_dict().items()}
    weights["layers.0.blocks.0.attn_mask"] = torch.zeros(1)
    conversion = tiny_conversion(weights, target)
    result = convert_weights(conversion, backbone_rules("", "backbone.bottom_up."))
    name = "layers.0.downsample.reduction.weight"
    assert torch.equal(result.weights[f"backbone.bottom_up.{name}"], weights[name])
    assert list(result.ignored) == ["a mask of attention, which is computed"]
