import numpy as np
import pytest
from data.glyphs import choose_characters

from rankdet.data.glyphs.characters import CHARACTERS


def test_there_are_as_many_distinct_characters_as_lvis_has_classes():
    assert len(CHARACTERS) == len(set(CHARACTERS)) == 1203


def test_characters_are_legible_and_the_first_ones_bold():
    assert all(choose_characters.is_legible(one) for one in CHARACTERS[::10])
    assert all(choose_characters.is_bold(one) for one in CHARACTERS[:36])


def test_characters_differ_from_those_after_them_even_when_rotated():
    sample = np.random.default_rng(0).choice(len(CHARACTERS) - 1, 12, replace=False)
    bitmaps = choose_characters.flat_bitmaps(list(CHARACTERS))
    for index in sample:
        similar = choose_characters.similarities(CHARACTERS[index], bitmaps[index + 1 :])
        assert similar.max() < 0.5


@pytest.mark.slow
def test_search_gives_the_shipped_characters():
    assert tuple(choose_characters.search(len(CHARACTERS))) == CHARACTERS
