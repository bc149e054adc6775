"""Optimal LRP of one class equals its definition, tried at every threshold in a slow loop."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdet.evaluation.lrp_scoring import OptimalLRP, optimal_lrp, score_iou_correlation

# Few values, so that many scores are equal and many IoUs lie at the edge of a true positive.
SCORES = st.sampled_from([-2.0, 0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
IOUS = st.sampled_from([0.0, 0.0, 0.5, 0.6, 0.75, 0.99, 1.0]) | st.floats(0.5, 1)
DETECTIONS = st.lists(st.tuples(SCORES, IOUS), max_size=12)
MISSED = st.integers(0, 3)


def best_of(detections: list[tuple[float, float]], num_objects: int) -> OptimalLRP:
    scores, ious = np.array(detections).reshape(-1, 2).T
    return optimal_lrp(scores, ious, num_objects)


def num_true(detections: list[tuple[float, float]]) -> int:
    return sum(iou >= 0.5 for _, iou in detections)


def lrp_at(
    threshold: float, detections: list[tuple[float, float]], num_objects: int
) -> tuple[float, float, float, float]:
    """LRP and its parts straight from the definition."""
    num_tp = num_fp = 0
    distances = []
    for score, iou in detections:
        if score >= threshold and iou >= 0.5:
            num_tp += 1
            distances.append(1 - iou)
        elif score >= threshold:
            num_fp += 1
    num_fn = num_objects - num_tp
    total = sum(distance / (1 - 0.5) for distance in distances) + num_fp + num_fn
    error = total / (num_tp + num_fp + num_fn)
    localization = sum(distances) / num_tp if num_tp else math.nan
    false_positive = 1 - num_tp / (num_tp + num_fp) if num_tp else math.nan
    return error, localization, false_positive, 1 - num_tp / num_objects


@given(DETECTIONS, MISSED)
def test_equals_the_definition(detections: list[tuple[float, float]], missed: int) -> None:
    num_objects = num_true(detections) + missed
    best = best_of(detections, num_objects)
    if num_objects == 0:
        assert all(math.isnan(value) for value in best)
        return
    thresholds = [math.inf, *(score for score, _ in detections)]
    least = min(lrp_at(threshold, detections, num_objects)[0] for threshold in thresholds)
    assert best.error == pytest.approx(least, abs=1e-10)
    assert best.threshold in thresholds
    # Two thresholds can be equally good but for rounding: the parts belong to the one reported.
    np.testing.assert_allclose(
        best[:4], lrp_at(best.threshold, detections, num_objects), atol=1e-10, rtol=0
    )


@given(DETECTIONS, MISSED, SCORES)
def test_a_false_positive_more_never_lowers_the_error(
    detections: list[tuple[float, float]], missed: int, score: float
) -> None:
    num_objects = num_true(detections) + missed + 1
    before = best_of(detections, num_objects)
    assert best_of([*detections, (score, 0.0)], num_objects).error >= before.error - 1e-12
    below_all = best_of([*detections, (-3.0, 0.0)], num_objects)
    np.testing.assert_array_equal(below_all, before)


@given(DETECTIONS, MISSED, st.floats(0.5, 1))
def test_finding_a_missed_object_last_never_raises_the_error(
    detections: list[tuple[float, float]], missed: int, iou: float
) -> None:
    num_objects = num_true(detections) + missed + 1
    after = best_of([*detections, (-3.0, iou)], num_objects)
    assert after.error <= best_of(detections, num_objects).error + 1e-12


@given(DETECTIONS, MISSED, st.randoms())
def test_only_the_order_of_the_scores_matters(
    detections: list[tuple[float, float]], missed: int, rng: random.Random
) -> None:
    num_objects = num_true(detections) + missed + 1
    expected = best_of(detections, num_objects)
    shuffled = [(score**3 + 7, iou) for score, iou in detections]
    rng.shuffle(shuffled)
    best = best_of(shuffled, num_objects)
    assert best.error == pytest.approx(expected.error, abs=1e-12)
    assert 0 <= best.error <= 1


def test_perfect_detections_give_zero() -> None:
    best = best_of([(0.9, 1.0), (0.2, 1.0), (0.1, 0.0)], num_objects=2)
    assert best == (0, 0, 0, 0, 0.2)


@pytest.mark.parametrize("detections", [[], [(0.9, 0.0), (0.3, 0.4)]])
def test_without_true_positives_nothing_is_worth_keeping(
    detections: list[tuple[float, float]],
) -> None:
    best = best_of(detections, num_objects=3)
    assert (best.error, best.false_negative, best.threshold) == (1, 1, math.inf)
    assert math.isnan(best.localization)
    assert math.isnan(best.false_positive)


def test_of_equally_good_thresholds_the_highest_counts() -> None:
    """Keeping 2 of 6 objects is as good as 3 with 3 false positives; an IoU can be rounded up."""
    rounded_up = 1 + 1e-15
    best = best_of([(0.9, 1.0)] * 2 + [(0.5, rounded_up)] + [(0.5, 0.0)] * 3, num_objects=6)
    assert (best.threshold, best.false_positive) == (0.9, 0)


def test_equal_scores_come_in_together() -> None:
    """Apart, the true positive alone would give an error of 0."""
    best = best_of([(0.5, 1.0), (0.5, 0.0)], num_objects=1)
    assert best == (0.5, 0, 0.5, 0, 0.5)


# Figure 1 of the aLRP paper: anchors by descending score, of which these four are positive. Table
# A.6 misprints 1 - IoU of a10 in R2 as 0.20; the figure's 0.05 gives the table's own 0.82 and 0.69.
RANKS = [1, 3, 6, 10]
IOUS_OF_R1, IOUS_OF_R2, IOUS_OF_R3 = (
    [0.95, 0.80, 0.65, 0.50],
    [0.80, 0.65, 0.50, 0.95],
    [0.50, 0.65, 0.80, 0.95],
)


def toy_detections(ious: list[float]) -> list[tuple[float, float]]:
    iou_by_rank = dict(zip(RANKS, ious, strict=True))
    return [(1.1 - rank / 10, iou_by_rank.get(rank, 0.0)) for rank in range(1, 11)]


@pytest.mark.parametrize(
    ("ious", "errors", "mean"),
    [
        (IOUS_OF_R1, [0.10, 0.50, 0.70, 0.82], 0.53),
        (IOUS_OF_R2, [0.40, 0.70, 0.85, 0.82], 0.69),
        (IOUS_OF_R3, [1.00, 0.90, 0.85, 0.82], 0.89),
    ],
)
def test_toy_of_the_alrp_paper(ious: list[float], errors: list[float], mean: float) -> None:
    """The l-LRP of anchor i is the LRP of those down to i, if only their objects existed."""
    found = []
    for num_objects, rank in enumerate(RANKS, start=1):
        kept = [(0.5, iou) for _, iou in toy_detections(ious)[:rank]]
        found.append(best_of(kept, num_objects).error)
    np.testing.assert_allclose(found, errors, atol=5e-3)
    assert np.mean(found) == pytest.approx(mean, abs=5e-3)


def test_optimum_of_the_toy() -> None:
    """Kept down to a3: 2 true positives, 1 false one and 2 of 4 objects missed."""
    best = best_of(toy_detections(IOUS_OF_R1), num_objects=4)
    expected = ((0.1 + 0.4 + 1 + 2) / 5, (0.05 + 0.20) / 2, 1 / 3, 2 / 4, 0.8)
    np.testing.assert_allclose(best, expected, atol=1e-12)


def test_correlation_is_that_of_the_true_positives() -> None:
    rng = np.random.default_rng(0)
    scores, ious = rng.random(40), rng.random(40)
    is_tp = ious >= 0.5
    x, y = scores[is_tp] - scores[is_tp].mean(), ious[is_tp] - ious[is_tp].mean()
    expected = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    assert score_iou_correlation(scores, ious) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_correlation_of_a_straight_line(sign: int) -> None:
    ious = np.array([0.5, 0.7, 0.95, 0.1])
    assert score_iou_correlation(3 * sign * ious - 1, ious) == pytest.approx(sign)


@pytest.mark.parametrize(
    ("scores", "ious"),
    [([], []), ([0.4], [0.9]), ([0.4, 0.4], [0.6, 0.9]), ([0.4, 0.5, 0.6], [0.6, 0.6, 0.2])],
)
def test_correlation_of_constants_is_undefined(scores: list[float], ious: list[float]) -> None:
    assert math.isnan(score_iou_correlation(np.array(scores), np.array(ious)))
