import math

import pytest
import torch
from modeling.detr.transformer_toy import assert_same, make_batch, randn

from rankdet.modeling.detr import SinePositionEncoding, box_code


def slow_code(share, num_channels, temperature=10_000):
    """Of one number: sine and cosine in turn."""
    code = []
    for channel in range(num_channels):
        wavelength = temperature ** (2 * (channel // 2) / num_channels)
        wave = math.cos if channel % 2 else math.sin
        code.append(wave(2 * math.pi * share / wavelength))
    return code


@pytest.mark.parametrize("temperature", [10_000, 20])
def test_codes_of_cells_equal_a_slow_loop(temperature):
    _, masks = make_batch()
    encoding = SinePositionEncoding(12, temperature)
    codes, is_image = encoding(masks[0]), ~masks[0]
    assert codes.shape == (2, 12, 8, 12)
    for image in range(2):
        for i, j in is_image[image].nonzero().tolist():
            y = (i + 0.5) / (is_image[image, :, j].sum().item() + 1e-6)
            x = (j + 0.5) / (is_image[image, i].sum().item() + 1e-6)
            expected = slow_code(y, 6, temperature) + slow_code(x, 6, temperature)
            assert codes[image, :, i, j].tolist() == pytest.approx(expected, abs=1e-5)


def test_codes_of_padding_are_finite():
    assert SinePositionEncoding(12)(torch.ones(1, 2, 2, dtype=torch.bool)).isfinite().all()


def test_codes_of_boxes_equal_a_slow_loop():
    boxes = randn(2, 3, 4, seed=0).sigmoid()
    codes = box_code(boxes, 24)
    for box, code in zip(boxes.flatten(0, 1), codes.flatten(0, 1), strict=True):
        expected = [wave for x in box for wave in slow_code(x.item(), 6)]
        assert_same(code, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("num_channels", [0, 6])
def test_channels_that_do_not_fit_cells(num_channels):
    with pytest.raises(ValueError, match=f"num_channels is {num_channels}; .* multiple of 4"):
        SinePositionEncoding(num_channels)


def test_channels_that_do_not_fit_boxes():
    with pytest.raises(ValueError, match="num_channels is 12; give a positive multiple of 8"):
        box_code(torch.ones(1, 4), 12)
