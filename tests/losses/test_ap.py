import pytest
import torch
from hypothesis import given
from losses.ranking_cases import ap, cases, quick, random_case
from losses.ranking_reference import ap_reference

from rankdet.losses.ap import ap_loss

algorithms = pytest.mark.parametrize("algorithm", ["exact", "pairwise"])

# aLRP figure 1: ten anchors, the first, third, sixth and last are positive.
TOY_LOGITS = torch.arange(10, 0, -1).double() / 10
TOY_TARGETS = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])


def loss_and_gradient(logits, targets, **options):
    logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    value = ap_loss(logits, torch.tensor(targets), **options)
    return value.item(), torch.autograd.grad(value, logits)[0].tolist()


@algorithms
def test_toy_example_of_the_alrp_paper(algorithm):
    """Appendix A.3.2: precisions 1, 2/3, 1/2, 2/5; printed 0.36."""
    value = ap_loss(TOY_LOGITS, TOY_TARGETS, delta=0.0, algorithm=algorithm)
    expected = 1 - (1 + 2 / 3 + 1 / 2 + 2 / 5) / 4
    torch.testing.assert_close(value.item(), expected, rtol=1e-14, atol=0)
    assert round(value.item(), 2) == 0.36


@algorithms
def test_one_tied_pair_by_hand(algorithm):
    """H = 1/2, rank 3/2, error 1/3; with the hard step H = 1, rank 2, error 1/2."""
    value, gradient = loss_and_gradient([7, 7], [1, 0], algorithm=algorithm)
    assert value == pytest.approx(1 / 3) and gradient == pytest.approx([-1 / 3, 1 / 3])
    value, gradient = loss_and_gradient([7, 7], [1, 0], delta=0.0, algorithm=algorithm)
    assert value == 0.5 and gradient == [-0.5, 0.5]


@algorithms
def test_interpolation_takes_the_best_precision_of_lower_positives(algorithm):
    """Precisions 1/2 (logit 3), 2/3 (logit 2) and 3/4 (logit 1) all become 3/4."""
    value, gradient = loss_and_gradient(
        [4, 3, 2, 1], [0, 1, 1, 1], delta=0.0, interpolate=True, algorithm=algorithm
    )
    assert value == pytest.approx(1 / 4)
    assert gradient == pytest.approx([1 / 4, -1 / 12, -1 / 12, -1 / 12])
    plain, gradient = loss_and_gradient([4, 3, 2, 1], [0, 1, 1, 1], delta=0.0, algorithm=algorithm)
    assert plain == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert gradient == pytest.approx([plain, -1 / 6, -1 / 9, -1 / 12])


@algorithms
@quick
@given(case=cases())
def test_interpolation_never_raises_the_loss(algorithm, case):
    (plain,), (interpolated,) = (
        ap(case, interpolate=interpolate, algorithm=algorithm) for interpolate in (False, True)
    )
    assert interpolated <= plain + 1e-12


@algorithms
def test_interpolation_treats_tied_positives_alike(algorithm):
    value, gradient = loss_and_gradient(
        [2, 1, 1, 0], [0, 1, 1, 1], delta=0.5, interpolate=True, algorithm=algorithm
    )
    assert gradient[1] == gradient[2] and value == pytest.approx(1 / 4)


@algorithms
def test_any_label_above_zero_is_a_positive(algorithm):
    """The released AP Loss takes an IoU label for no positive at all (facts a.0)."""
    soft = loss_and_gradient([1.0, 0.5, 0.2], [1e-12, 0.0, 0.3], algorithm=algorithm)
    assert soft == loss_and_gradient([1.0, 0.5, 0.2], [1, 0, 1], algorithm=algorithm)
    assert soft[0] > 0


def test_defaults_are_exact_smoothed_and_not_interpolated():
    case = random_case(delta=1.0)
    value = ap_loss(case.logits, case.targets)
    assert torch.equal(value, ap(case, interpolate=False, algorithm="exact")[0])
    torch.testing.assert_close(value.detach(), ap_reference(case)[0].value)


@pytest.mark.parametrize("interpolate", [False, True])
def test_a_million_equal_logits_have_a_closed_form(interpolate):
    """All H are 1/2: what a network gives before it is trained."""
    num_pos, num_neg = 1_000, 999_000
    logits = torch.full((num_pos + num_neg,), -4.6, requires_grad=True)
    targets = torch.zeros(num_pos + num_neg)
    targets[::1000] = 1
    value = ap_loss(logits, targets, interpolate=interpolate)
    value.backward()
    rank_pos, false_pos = 1 + (num_pos - 1) / 2, num_neg / 2
    error = false_pos / (rank_pos + false_pos)
    assert value.item() == pytest.approx(error, rel=1e-6)
    expected = torch.where(targets == 1, -error / num_pos, error / num_neg)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-5, atol=0)


def test_sums_in_float32_do_not_drift():
    """300,000 times the same number, added up in float32, is off in the third digit."""
    num_pos, num_neg = 200_000, 300_000
    logits = torch.cat([torch.zeros(num_pos), torch.full((num_neg,), 0.3)]).requires_grad_()
    targets = torch.cat([torch.ones(num_pos), torch.zeros(num_neg)])
    value = ap_loss(logits, targets)
    value.backward()
    rank_pos, false_pos = 1 + (num_pos - 1) / 2, num_neg * (0.5 + logits[-1].item() / 2)
    error = false_pos / (rank_pos + false_pos)
    assert value.item() == pytest.approx(error, rel=1e-6)
    expected = torch.where(targets == 1, -error / num_pos, error / num_neg)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=0)
