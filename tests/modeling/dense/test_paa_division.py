"""Both divisions of PAA's candidates equal loops; by hand, where they differ."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modeling.dense.anchor_scenes import quick
from modeling.dense.slow_division import (
    slow_low_and_bound,
    slow_low_up_to_likeliest,
    slow_up_to_likeliest,
)

from rankdet.modeling.dense.paa_division import LowUpToLikeliest, UpToLikeliest

RULES = {"original": UpToLikeliest, "released": LowUpToLikeliest}
SLOW = {"original": slow_up_to_likeliest, "released": slow_low_up_to_likeliest}
rules = pytest.mark.parametrize("rule", RULES)
UNDIVIDED = [0.997, 0.998, 0.999, 1.0, 1.0, 1.0]
WIDE = [0.24, 0.79, 0.98, 0.98, 1.0, 1.01, 1.03, 1.25, 2.69]


def divide(rule, losses, regularization=1e-6, num_slots=12):
    """Places that are taken of one row."""
    row = torch.full((1, num_slots), math.inf)
    row[0, : len(losses)] = torch.tensor(losses)
    return RULES[rule](regularization)(row)[0].nonzero().flatten().tolist()


@rules
@quick
@given(
    losses=st.lists(st.integers(0, 400).map(lambda x: x / 100 + x % 7 / 1000), max_size=12),
    regularization=st.sampled_from([1e-6, 1e-5, 1e-2]),
)
def test_equals_a_loop_over_losses(rule, losses, regularization):
    losses = torch.tensor(losses).tolist()  # what single precision makes of them
    assert divide(rule, losses, regularization) == SLOW[rule](losses, regularization)


@rules
def test_low_losses_are_taken_up_to_the_likeliest(rule):
    """0.54 and 0.7 are of the low component; 0.7 is above its likeliest loss, next to its mean."""
    losses = [2.0, 0.52, 2.1, 0.54, 1.9, 0.7, 0.5, 2.2]
    assert {losses[i] for i in divide(rule, losses)} == {0.5, 0.52, 0.54}


def test_a_single_candidate_is_taken_by_the_original_alone():
    assert divide("original", [0.3]) == [0] and divide("released", [0.3]) == []


@rules
def test_two_candidates_are_divided_as_many_are(rule):
    assert divide(rule, [0.3, 5.0]) == [0]
    assert divide(rule, [0.3, 0.3]) == [0, 1]


@rules
def test_equal_candidates_are_all_taken(rule):
    assert divide(rule, [0.3, 0.3, 0.3]) == [0, 1, 2] and divide(rule, []) == []


def test_candidates_without_a_low_component_are_taken_by_the_original_alone():
    assert slow_low_and_bound(UNDIVIDED) == ([], math.inf)
    assert divide("original", UNDIVIDED) == list(range(6)) and divide("released", UNDIVIDED) == []


def test_the_lowest_losses_may_be_of_the_other_component():
    low, bound = slow_low_and_bound(WIDE)
    assert 0 not in low and WIDE[0] < bound
    assert divide("original", WIDE) == [0, *divide("released", WIDE)]


def test_regularization_changes_close_losses_alone():
    """Differences of a thousandth have a variance of 1e-6."""
    close, far = [1 + x / 1000 for x in (0, 1, 5, 6, 7)], [0.1, 0.2, 1.5, 1.6]
    taken = [divide("released", close, value) for value in (1e-6, 1e-2)]
    assert taken[0] != taken[1]
    assert divide("released", far, 1e-6) == divide("released", far, 1e-5)


def test_nan_makes_foreground_so_that_it_surfaces():
    table = torch.tensor([[0.1, math.nan, 2.0, math.inf], [0.1, 2.0, 2.0, 2.0]])
    for rule in RULES.values():
        assert rule()(table).tolist() == [[True, True, True, False], [True, False, False, False]]


@pytest.mark.parametrize("regularization", [0, -1e-6, math.nan])
def test_a_variance_of_nothing_is_named(regularization):
    with pytest.raises(ValueError, match=r"regularization is .*; give a small number above 0"):
        UpToLikeliest(regularization)
