import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankdet.evaluation.ranking_theory import (
    classification_error,
    detection_error_bounds,
    linear_slope,
    probabilistic_average_precision,
    ranking_error,
)

scores = st.lists(st.integers(-50, 50), min_size=1, max_size=30).map(
    lambda x: torch.tensor(x, dtype=torch.float64)
)


def slow_ranking_error(pos, neg):
    return sum(p < n for p in pos.tolist() for n in neg.tolist()) / (len(pos) * len(neg))


def slow_average_precision(pos, neg, alpha, num_steps=20_000):
    """ECM Definition 1 by the midpoint rule."""
    ordered, total = sorted(pos.tolist(), reverse=True), 0.0
    for step in range(num_steps):
        beta = (step + 0.5) / num_steps
        threshold = ordered[math.ceil(beta * len(ordered)) - 1]
        share = sum(n > threshold for n in neg.tolist()) / len(neg)
        total += beta / (beta + alpha * share)
    return total / num_steps


@given(scores, scores)
def test_ranking_error_counts_pairs(pos, neg):
    assert math.isclose(ranking_error(pos, neg), slow_ranking_error(pos, neg), abs_tol=1e-12)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 30.0])
def test_average_precision_is_the_integral_of_definition_1(alpha):
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(7, generator=generator) + 1
    neg = torch.randn(40, generator=generator)
    expected = slow_average_precision(pos, neg, alpha)
    assert math.isclose(probabilistic_average_precision(pos, neg, alpha), expected, rel_tol=1e-4)


@given(scores, scores, st.floats(1e-2, 1e4))
def test_theorem_2_bounds_the_detection_error_of_every_score_set(pos, neg, alpha):
    error = 1 - probabilistic_average_precision(pos, neg, alpha)
    lower, upper = detection_error_bounds(ranking_error(pos, neg), alpha)
    assert lower - 1e-9 <= error <= upper + 1e-9


@given(scores, scores)
def test_classification_error_is_that_of_the_best_threshold(pos, neg):
    thresholds = [-math.inf, *pos.tolist(), *neg.tolist()]
    shares = [(pos <= t).double().mean() + (neg > t).double().mean() for t in thresholds]
    assert math.isclose(classification_error(pos, neg), min(shares), abs_tol=1e-12)


@given(scores, scores)
def test_theorem_3_bounds_the_ranking_error_of_every_score_set(pos, neg):
    assert ranking_error(pos, neg) <= classification_error(pos, neg) + 1e-12


@given(st.integers(1, 9), st.integers(1, 30))
def test_linear_approximation_is_exact_for_the_worst_ranking(num_pos, num_neg):
    pos, neg = torch.zeros(num_pos), torch.ones(num_neg)
    error = 1 - probabilistic_average_precision(pos, neg)
    assert math.isclose(linear_slope(num_neg / num_pos), error, rel_tol=1e-9)


def test_perfect_ranking_has_no_error():
    pos, neg = torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0, -1.0])
    assert ranking_error(pos, neg) == 0 and probabilistic_average_precision(pos, neg) == 1
    assert classification_error(pos, neg) == 0
    lower, upper = detection_error_bounds(torch.tensor(0.0), 1.5)
    assert lower == 0 and upper == 0


def test_worst_ranking_with_default_alpha():
    """All of 2 positives below all of 4 negatives: AP is the integral of b / (b + 2)."""
    ap = probabilistic_average_precision(torch.zeros(2), torch.ones(4))
    assert math.isclose(ap, 1 - 2 * math.log(3 / 2), rel_tol=1e-12)


def test_the_two_upper_bounds_meet_at_a_third():
    """ECM appendix B: at alpha R = 1/6 both are 1/3."""
    _, upper = detection_error_bounds(torch.tensor(1 / 6), 1.0)
    assert math.isclose(upper, 1 / 3, rel_tol=1e-7)


@pytest.mark.parametrize(
    "function", [ranking_error, probabilistic_average_precision, classification_error]
)
def test_missing_samples_are_named(function):
    with pytest.raises(ValueError, match="got 0 and 2"):
        function(torch.zeros(0), torch.zeros(2))


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan])
def test_bad_alpha_is_named(alpha):
    with pytest.raises(ValueError, match="alpha is"):
        detection_error_bounds(torch.tensor(0.5), alpha)


def test_bad_error_is_named():
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        detection_error_bounds(torch.tensor(1.5), 1.0)
