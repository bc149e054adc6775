from dataclasses import replace

import numpy as np
import pytest

from rankdet.data.glyphs.plan import instance_counts, plan_split
from rankdet.data.glyphs.recipe import RECIPES


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    "recipe",
    [*RECIPES[:2], pytest.param(RECIPES[2], marks=pytest.mark.slow)],
    ids=lambda recipe: recipe.name,
)
def test_image_counts_are_exact(recipe, split):
    plans = plan_split(recipe, split)
    shown = [index for plan in plans for index in set(plan.annotated)]
    assert len(plans) == recipe.num_images(split)
    assert np.bincount(shown).tolist() == recipe.image_counts(split)


def test_instances_are_counted_with_repetitions(recipe):
    plans = plan_split(recipe, "train")
    counts = instance_counts(plans, recipe.num_classes)
    assert (
        sum(counts)
        == sum(len(plan.annotated) for plan in plans)
        > sum(recipe.image_counts("train"))
    )


def test_plans_are_reproducible_and_differ_by_seed_and_split(recipe):
    plans = plan_split(recipe, "train")
    assert plans == plan_split(recipe, "train")
    assert plans != plan_split(replace(recipe, seed=1), "train")
    assert plans[0] != plan_split(recipe, "val")[0]


def test_objects_negatives_and_unannotated_objects_agree():
    recipe = RECIPES[1]
    plans = plan_split(recipe, "val")
    assert sum(len(plan.unannotated) for plan in plans) >= 10
    for plan in plans:
        assert set(plan.unannotated) <= set(plan.annotated)
        assert not set(plan.negatives) & set(plan.annotated)
        assert len(set(plan.negatives)) == recipe.num_negatives
        assert len(plan.annotated) + len(plan.unannotated) <= recipe.max_objects


def test_too_many_objects_are_refused(recipe):
    crowded = replace(recipe, max_objects=1)
    with pytest.raises(ValueError, match=r"'tiny_glyphs_train' has no room for .* raise"):
        plan_split(crowded, "train")
