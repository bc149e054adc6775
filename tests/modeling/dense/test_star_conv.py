import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d
from torchvision.ops import deform_conv2d

from rankdet.modeling.dense.star_conv import StarConv2d, star_points


def make_inputs(shape=(2, 3, 5, 4), seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    images, channels, height, width = shape
    feature = torch.randn(*shape, dtype=dtype, requires_grad=True)
    distances = 3 * torch.rand(images, 4, height, width, dtype=dtype)  # often outside the map
    return StarConv2d(channels, 6).to(dtype), feature, distances.requires_grad_()


def slow_points(left, top, right, bottom, x, y):
    """Row by row."""
    rows, columns = (y - top, y, y + bottom), (x - left, x, x + right)
    return [(column, row) for row in rows for column in columns]


def test_points_of_each_location():
    _, _, distances = make_inputs()
    points = star_points(distances)
    assert points.shape == (2, 9, 5, 4, 2)
    for image in range(2):
        for y in range(5):
            for x in range(4):
                expected = slow_points(*distances[image, :, y, x].tolist(), x, y)
                assert points[image, :, y, x].tolist() == [pytest.approx(xy) for xy in expected]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 6), width=st.integers(1, 6))
def test_equals_torchvisions_deformable_convolution(seed, height, width):
    """Also in its gradients, and on maps of a single row or column."""
    conv, feature, distances = make_inputs((2, 3, height, width), seed)
    points = star_points(distances)
    ordinary = star_points(torch.ones_like(distances))
    offsets = (points - ordinary).flip(-1).permute(0, 1, 4, 2, 3).flatten(1, 2)
    inputs = [feature, distances, conv.weight]
    outputs = conv(feature, points), deform_conv2d(feature, offsets, conv.weight, padding=1)
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-9)
    upstream = torch.randn_like(outputs[0])
    gradients = [torch.autograd.grad(x, inputs, upstream, retain_graph=True) for x in outputs]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2])
def test_a_box_of_the_kernels_own_size_gives_an_ordinary_convolution(size):
    conv, feature, distances = make_inputs()
    points = star_points(torch.full_like(distances, size))
    expected = conv2d(feature, conv.weight, padding=size, dilation=size)
    torch.testing.assert_close(conv(feature, points), expected, rtol=1e-9, atol=1e-9)


def test_a_half_precision_feature_is_sampled_at_exact_points():
    conv, feature, distances = make_inputs(dtype=torch.float32)
    coarse = feature.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = conv(coarse, star_points(distances))
    expected = conv(coarse.float(), star_points(distances))
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, rtol=0.02, atol=0.02)
