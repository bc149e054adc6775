import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.loss_tester import NUM_CLASSES, LossTester, random_batch

from rankdet.losses.ecm import ECMLoss, class_margins, detection_weights, ecm_loss, surrogate_bias
from rankdet.losses.sigmoid import sigmoid_bce_loss

COUNTS = torch.tensor([1000, 50, 3, 200, 1])
RATIO = 6.3313
counts = st.integers(1, 10**9)


def sample_counts():
    """n+ and n- of the C + 1 classes, ECM eqs. 35 to 37, as floats."""
    num_pos = [*COUNTS.tolist(), RATIO * COUNTS.sum().item()]
    return num_pos, [sum(num_pos) - n for n in num_pos]


class TestECMLoss(LossTester):
    def make(self):
        return ECMLoss(COUNTS, background_ratio=RATIO)

    def reference(self, logits, labels):
        """ECM eqs. 8, 10, 11 and section 4.1, sample by sample and class by class."""
        total = logits.new_zeros(())
        for c, (pos, neg) in enumerate(zip(*sample_counts(), strict=True)):
            gamma_pos = neg**0.25 / (pos**0.25 + neg**0.25)
            gamma_neg = pos**0.25 / (pos**0.25 + neg**0.25)
            alpha = neg / pos
            m_c = alpha * math.log((1 + alpha) / alpha)
            for x, y in zip(logits[:, c], labels, strict=True):
                above, below = x.exp() / gamma_pos, (-x).exp() / gamma_neg
                chosen = above if y == c else below
                total = total - m_c * (chosen / (above + below)).log()
        return total / len(labels)


@given(counts, counts)
def test_margins_are_a_partition_of_one_and_mirror_each_other(pos, neg):
    gamma_pos, gamma_neg = class_margins(pos, neg)
    assert math.isclose(gamma_pos + gamma_neg, 1, rel_tol=1e-15)
    assert class_margins(neg, pos)[0] == gamma_neg
    assert (gamma_pos > gamma_neg) == (pos < neg) or math.isclose(gamma_pos, 0.5)


@given(counts, counts)
def test_margins_minimize_the_generalization_bound(pos, neg):
    """ECM appendix C: gamma+ minimizes 1 / (gamma+ sqrt n+) + 1 / (gamma- sqrt n-)."""

    def bound(gamma):
        return 1 / (gamma * math.sqrt(pos)) + 1 / ((1 - gamma) * math.sqrt(neg))

    best = class_margins(pos, neg)[0].item()
    for step in (0.9, 1.1):
        other = best * step
        assert not 0 < other < 1 or bound(best) <= bound(other) * (1 + 1e-12)


@given(counts, counts)
def test_bias_is_the_log_ratio_of_the_weights(pos, neg):
    gamma_pos, gamma_neg = class_margins(pos, neg)
    bias = surrogate_bias(torch.tensor(pos).double(), torch.tensor(neg).double())
    assert math.isclose(bias, (gamma_neg / gamma_pos).log(), rel_tol=1e-9, abs_tol=1e-12)


@given(counts, counts)
def test_decision_boundary_lies_at_the_margin(pos, neg):
    """ECM eq. 11: where the surrogate is 1/2, the paper's sigmoid(2 f) equals gamma+."""
    bias = surrogate_bias(torch.tensor(pos).double(), torch.tensor(neg).double())
    boundary = -bias / 2
    gamma_pos, gamma_neg = class_margins(pos, neg)
    assert math.isclose(boundary, 0.5 * (gamma_pos / gamma_neg).log(), abs_tol=1e-9)
    assert math.isclose((2 * boundary).sigmoid(), gamma_pos, rel_tol=1e-9)


@given(counts, counts)
def test_detection_weight_is_inside_the_papers_interval(pos, neg):
    alpha = neg / pos
    weight = detection_weights(torch.tensor(pos).double(), torch.tensor(neg).double()).item()
    assert weight >= alpha * math.log1p(1 / alpha) - 1e-12
    assert weight <= (0.5 + 2 * alpha) / (1 + 2 * alpha) + 1e-12


def test_detection_weight_of_the_rarest_class_is_exact():
    """In float32, (1 + alpha) / alpha rounds to 1 here and the weight to 0 (facts d.1)."""
    weight = detection_weights(torch.tensor(1.0).double(), torch.tensor(1e9).double())
    assert math.isclose(weight, 1 - 0.5e-9, rel_tol=1e-15)


def test_margins_of_missing_samples_are_the_limits():
    gamma_pos, gamma_neg = class_margins([0, 5, 0], [7, 0, 0])
    assert gamma_pos.tolist() == [1, 0, 0.5] and gamma_neg.tolist() == [0, 1, 0.5]


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_margins_of_bad_counts_are_named(bad):
    with pytest.raises(ValueError, match="num_pos must be counts >= 0 and finite"):
        class_margins([1, bad], [1, 1])
    with pytest.raises(ValueError, match="num_neg must be counts >= 0 and finite"):
        class_margins([1, 1], [1, bad])


def test_equal_counts_reduce_to_bce_on_twice_the_logit():
    logits, labels = random_batch(9, NUM_CLASSES + 1)
    same = torch.full((NUM_CLASSES + 1,), 37.0, dtype=torch.float64)
    bias, weights = surrogate_bias(same, same), torch.ones(NUM_CLASSES + 1)
    value = ecm_loss(logits, labels, bias, weights)
    torch.testing.assert_close(value, sigmoid_bce_loss(2 * logits, labels))


def test_module_builds_the_counts_of_appendix_f():
    loss = ECMLoss(COUNTS, background_ratio=RATIO)
    num_pos, num_neg = sample_counts()
    torch.testing.assert_close(loss.num_pos, torch.tensor(num_pos, dtype=torch.float64))
    torch.testing.assert_close(loss.num_neg, torch.tensor(num_neg, dtype=torch.float64))


def test_lvis_numbers_of_the_release():
    """Facts a.1: biases and weights at the ends of LVIS v1's counts (1,270,141 instances)."""
    rest = 1_270_141 - 50_552 - 1
    loss = ECMLoss([50_552, rest, 1], background_ratio=RATIO)
    torch.testing.assert_close(
        loss.bias[[0, 2, 3]], torch.tensor([-1.30, -4.01, 0.461]).double(), rtol=0, atol=5e-3
    )
    torch.testing.assert_close(loss.weights[3].item(), 0.3147, rtol=0, atol=5e-5)


def test_initial_logits_have_the_prior_as_surrogate_score():
    loss = ECMLoss(COUNTS, background_ratio=RATIO)
    surrogate = (2 * loss.initial_logits(0.01) + loss.bias)[:-1].sigmoid()
    torch.testing.assert_close(surrogate, torch.full_like(surrogate, 0.01), rtol=1e-5, atol=0)


def test_scores_are_calibrated_by_the_background_unless_told_otherwise():
    logits = torch.tensor([[0.0, 2.0, -1.0]])
    calibrated = ECMLoss([1, 1], 1.0).scores(logits)
    plain = ECMLoss([1, 1], 1.0, foreground_calibration=False).scores(logits)
    torch.testing.assert_close(plain, logits.sigmoid())
    torch.testing.assert_close(calibrated[:, :2], plain[:, :2] * (1 - plain[:, 2:]))
    torch.testing.assert_close(calibrated[:, 2], plain[:, 2])


def test_empty_classes_count_as_one_and_are_named(caplog):
    loss = ECMLoss([5, 0, 3, 0], background_ratio=1.0)
    assert "2 of 4 classes have no training instance and count as one: class ids 1, 3." in (
        caplog.text
    )
    assert loss.num_pos.tolist() == [5, 1, 3, 1, 8]
    logits, labels = torch.randn(4, 5), torch.tensor([0, 1, 3, 4])
    assert torch.isfinite(loss(logits, labels))


@pytest.mark.parametrize("num_empty", [3, 25])
def test_a_data_set_without_instances_still_has_finite_margins(num_empty):
    loss = ECMLoss([0] * num_empty)
    value = loss(torch.randn(2, num_empty + 1), torch.full((2,), num_empty))
    assert torch.isfinite(value)


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf])
def test_bad_class_counts_are_named(bad):
    with pytest.raises(ValueError, match=r"class_counts\[1\] is"):
        ECMLoss([3, bad, 2])


def test_class_counts_must_be_a_vector():
    with pytest.raises(ValueError, match="class_counts must be a vector"):
        ECMLoss([[3, 1]])


@pytest.mark.parametrize("bad", [-0.5, math.nan, math.inf])
def test_bad_background_ratio_is_named(bad):
    with pytest.raises(ValueError, match="background_ratio is"):
        ECMLoss([3, 2], background_ratio=bad)


def test_the_callers_counts_are_copied():
    counts = torch.tensor([3.0, 2.0], dtype=torch.float64)
    loss = ECMLoss(counts)
    counts[0] = 100
    assert loss.class_counts.tolist() == [3, 2]


def test_labels_that_are_refused_are_not_counted():
    loss = ECMLoss([3, 2])
    with pytest.raises(ValueError, match="labels contains -3"):
        loss(torch.zeros(2, 3), torch.tensor([2, -3]))
    assert loss.num_samples.tolist() == [0, 0]


def test_learned_logits_are_those_of_the_surrogate_score():
    loss, logits = ECMLoss(COUNTS), torch.randn(1, len(COUNTS) + 1, requires_grad=True)
    start = loss.learned_logits(loss.initial_logits(0.3).unsqueeze(0))
    torch.testing.assert_close(start.sigmoid(), torch.full((1, len(COUNTS)), 0.3))
    (gradient,) = torch.autograd.grad(loss(logits, torch.tensor([2])), logits)
    is_own = torch.eye(len(COUNTS))[[2]]
    expected = 2 * loss.weights[:-1].float() * (loss.learned_logits(logits).sigmoid() - is_own)
    torch.testing.assert_close(gradient[:, :-1], expected)
