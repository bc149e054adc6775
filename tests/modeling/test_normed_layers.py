import pytest
import torch

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


def test_constructors_for_injection():
    assert NormedLinear.with_temperature(5.0)(4, 2).temperature == 5
    conv = NormedConv2d.with_temperature(5.0)(4, 2)
    assert conv.temperature == 5 and conv.weight.shape == (2, 4, 1, 1)
