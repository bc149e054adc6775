from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from rankdet.data.frequency_groups import frequency_group
from rankdet.data.glyphs.recipe import RECIPES

GROUPS = {
    "glyphs_smoke": {"r": 3, "c": 5, "f": 2},
    "glyphs": {"r": 8, "c": 15, "f": 13},
    "glyphs_1203": {"r": 372, "c": 358, "f": 473},
}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_shipped_recipes_have_a_long_tail(recipe):
    counts = recipe.image_counts("train")
    assert max(counts) == recipe.most_frequent
    assert min(counts) == recipe.least_frequent
    assert Counter(map(frequency_group, counts)) == GROUPS[recipe.name]


def test_quick_start_is_validated_on_at_least_32_images_of_every_class():
    assert min(RECIPES[1].image_counts("val")) >= 32


def test_classes_are_not_sorted_by_frequency(recipe):
    assert recipe.image_counts("train") not in (
        sorted(recipe.image_counts("train")),
        sorted(recipe.image_counts("train"), reverse=True),
    )


def test_random_streams_differ_by_key_and_by_seed(recipe):
    draws = [
        recipe.rng(0, 1).random(),
        recipe.rng(1, 0).random(),
        replace(recipe, seed=1).rng(0, 1).random(),
    ]
    assert len(np.unique(draws)) == 3
    assert recipe.rng(0, 1).random() == draws[0]


@pytest.mark.parametrize("num_classes", [1, 1204])
def test_impossible_number_of_classes_is_refused(recipe, num_classes):
    with pytest.raises(ValueError, match=f"'tiny_glyphs' is {num_classes}; choose from 2 to 1203"):
        replace(recipe, num_classes=num_classes)
