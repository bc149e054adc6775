import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead

from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear, normalize


def released(x, dim):
    """The formula of the release: x / (|x| + 1e-6)."""
    return x / (x.norm(dim=dim, keepdim=True) + 1e-6)


def test_linear_is_temperature_times_cosine_plus_bias():
    layer = NormedLinear(7, 3, temperature=20.0).double()
    torch.nn.init.uniform_(layer.bias)
    x = torch.randn(5, 7, dtype=torch.float64)
    expected = 20 * released(x, 1) @ released(layer.weight, 1).T + layer.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)


def test_convolution_is_the_linear_layer_at_every_position():
    conv = NormedConv2d(7, 3, temperature=20.0).double()
    linear = NormedLinear(7, 3, temperature=20.0).double()
    linear.load_state_dict({"weight": conv.weight[:, :, 0, 0], "bias": conv.bias})
    x = torch.randn(2, 7, 4, 6, dtype=torch.float64)
    expected = linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(conv(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_length_of_the_features_does_not_matter(scale):
    layer = NormedLinear(7, 3)
    x = torch.randn(5, 7)
    torch.testing.assert_close(layer(scale * x), layer(x), rtol=1e-2, atol=1e-2)


def test_a_zero_row_gives_the_bias_and_no_gradient():
    layer = NormedLinear(7, 3)
    torch.nn.init.uniform_(layer.bias)
    x = torch.randn(2, 7)
    x[0] = 0
    x.requires_grad_()
    out = layer(x)
    torch.testing.assert_close(out[0], layer.bias)
    out.sum().backward()
    assert (x.grad[0] == 0).all() and torch.isfinite(x.grad).all()
    assert torch.isfinite(layer.weight.grad).all() and layer.weight.grad.abs().max() < 1e4


def test_zero_positions_of_a_feature_map_get_no_gradient():
    x = torch.zeros(1, 4, 2, 2, requires_grad=True)
    NormedConv2d(4, 3)(x).sum().backward()
    assert (x.grad == 0).all()


def test_gradcheck():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: normalize(x, dim=1), x)


def test_half_precision_is_normalized_in_float32():
    x = torch.full((1, 4), 300.0, dtype=torch.float16)  # the square overflows float16
    torch.testing.assert_close(normalize(x, dim=1), torch.full((1, 4), 0.5))


def assert_normal(weight, std):
    """50,000 numbers or more have the moments of N(0, std)."""
    assert weight.mean().abs() < 0.02 * std
    assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert (weight.abs() < std).double().mean().item() == pytest.approx(0.6827, abs=0.01)


def test_convolution_starts_as_released():
    torch.manual_seed(0)
    layer = NormedConv2d(256, 1203)
    assert_normal(layer.weight, math.sqrt(2 / 1203))
    lengths = layer.weight[:, :, 0, 0].norm(dim=1)
    assert lengths.mean().item() == pytest.approx(0.652, abs=0.005) and lengths.std() < 0.04
    assert (layer.bias == 0).all()
    deconv = MaskRCNNConvUpsampleHead(
        ShapeSpec(channels=4, height=4, width=4), num_classes=3, conv_dims=[256, 256]
    ).deconv
    assert_normal(deconv.weight, math.sqrt(2 / (256 * 4)))  # By the same rule.


def test_start_of_the_convolution_is_an_option():
    torch.manual_seed(0)
    assert_normal(NormedConv2d(256, 200, std=0.001).weight, 0.001)
    assert_normal(NormedConv2d.with_temperature(20.0, std=0.5)(256, 200).weight, 0.5)
    with pytest.raises(ValueError, match="std is 0, so that rows have no direction; give"):
        NormedConv2d(4, 3, std=0)


def test_linear_starts_as_released():
    torch.manual_seed(0)
    layer = NormedLinear(1024, 100)
    assert_normal(layer.weight, 0.01)
    assert (layer.bias == 0).all()


def test_longer_rows_turn_slower_by_the_square_of_their_length():
    short, long = NormedConv2d(8, 3), NormedConv2d(8, 3)
    long.load_state_dict({"weight": 40 * short.weight, "bias": short.bias})
    x, angles = torch.randn(5, 8, 1, 1), []
    for layer in (short, long):
        (gradient,) = torch.autograd.grad(layer(x)[:, 0].sum(), layer.weight)
        angles.append(gradient.norm() / layer.weight[0].norm())
    torch.testing.assert_close(angles[0], 1600 * angles[1], rtol=1e-3, atol=0)


def test_constructors_for_injection():
    assert NormedLinear.with_temperature(5.0)(4, 2).temperature == 5
    conv = NormedConv2d.with_temperature(5.0)(4, 2)
    assert conv.temperature == 5 and conv.weight.shape == (2, 4, 1, 1)
