import numpy as np
import pytest

from rankdet.data.glyphs.drawing import paint_image
from rankdet.data.glyphs.font import glyph_alpha
from rankdet.data.glyphs.layout import PlacedGlyph

SIZE = 64


@pytest.fixture
def star():
    alpha = glyph_alpha("★", 30, 0.0)
    return PlacedGlyph(20, 10, alpha, alpha)


def test_image_is_rgb_and_depends_only_on_the_seed(star):
    first, again, other = (
        paint_image([star], SIZE, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("seed", range(5))
def test_glyph_stands_out_from_its_background(star, seed):
    images = [
        paint_image(glyphs, SIZE, np.random.default_rng(seed)).astype(int)
        for glyphs in ([], [star])
    ]
    change = np.abs(images[1] - images[0]).sum(axis=2)
    inside = np.zeros((SIZE, SIZE), dtype=bool)
    inside[star.window] = star.alpha > 0.9
    outside = np.ones((SIZE, SIZE), dtype=bool)
    outside[star.window] = star.alpha == 0
    assert change[inside].mean() > 100
    assert change[outside].mean() < 40  # noise only
