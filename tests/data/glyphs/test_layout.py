from itertools import combinations

import numpy as np
import pytest

from rankdet.data.glyphs.layout import place_glyphs

SIZE = 96


@pytest.fixture(params=range(5))
def glyphs(request):
    rng = np.random.default_rng(request.param)
    placed = None
    while placed is None:
        placed = place_glyphs("★TXVW", SIZE, (16, 40), rng)
    return placed


def test_glyphs_lie_within_the_image(glyphs):
    assert len(glyphs) == 5
    for glyph in glyphs:
        for side in glyph.window:
            assert 0 <= side.start < side.stop <= SIZE


def test_boxes_overlap_by_at_most_a_quarter(glyphs):
    for first, second in combinations(glyphs, 2):
        covered = np.zeros((SIZE, SIZE), dtype=int)
        covered[first.window] += 1
        covered[second.window] += 1
        assert (covered == 2).sum() <= 0.25 * min(first.alpha.size, second.alpha.size)


def test_at_least_half_of_each_glyph_is_visible_and_the_last_one_whole(glyphs):
    for glyph in glyphs:
        assert (glyph.visible <= glyph.alpha).all()
        assert glyph.visible.sum() >= 0.5 * glyph.alpha.sum()
    assert (glyphs[-1].visible == glyphs[-1].alpha).all()


def test_later_glyphs_hide_earlier_ones(glyphs):
    total = np.zeros((SIZE, SIZE))
    for glyph in glyphs:
        total[glyph.window] += glyph.visible
    assert total.max() <= 1 + 1e-5


def test_no_room_gives_none():
    rng = np.random.default_rng(0)
    assert place_glyphs("★", 16, (40, 41), rng) is None
    assert place_glyphs("★" * 30, 64, (30, 31), rng) is None
