import numpy as np
import pytest

from rankdet.data.glyphs.font import crop_to_ink, glyph_alpha, glyph_bitmap


@pytest.mark.parametrize("longer_side", [18, 33.3, 52])
def test_longer_side_is_as_asked(longer_side):
    assert max(glyph_alpha("L", longer_side, 0.0).shape) == pytest.approx(longer_side, abs=2)


def test_alpha_is_a_fraction_with_full_strokes():
    alpha = glyph_alpha("★", 30, 10.0)
    assert alpha.dtype == np.float32
    assert alpha.min() == 0
    assert alpha.max() == 1


def test_quarter_turn_is_counter_clockwise():
    upright, turned = glyph_alpha("L", 40, 0.0), glyph_alpha("L", 40, 90.0)
    assert turned.shape == upright.shape[::-1]
    assert np.abs(turned - np.rot90(upright)).mean() < 0.02


def test_crop_keeps_what_is_above_the_threshold():
    image = np.zeros((5, 6), dtype=np.uint8)
    image[1, 2] = image[3, 4] = 255
    image[0, 0] = 8
    assert crop_to_ink(image).shape == (3, 3)


def test_a_character_without_ink_is_empty():
    assert glyph_bitmap(" ").size == 0
