import pytest
import torch
from hypothesis import given
from losses.ranking_cases import ROUNDOFF, alrp, cases, quick, random_case
from losses.ranking_reference import alrp_reference, smallest_false_positives

from rankdet.losses.alrp import alrp_loss

algorithms = pytest.mark.parametrize("algorithm", ["exact", "pairwise"])

# Figure 1: ten anchors, the first, third, sixth and last are positive.
TOY_LOGITS = torch.arange(10, 0, -1).double() / 10
TOY_TARGETS = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
TOY_IOUS = {
    "R1": (0.95, 0.8, 0.65, 0.5),
    "R2": (0.8, 0.65, 0.5, 0.95),
    "R3": (0.5, 0.65, 0.8, 0.95),
}


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


@algorithms
@pytest.mark.parametrize(
    ("ious", "lrp", "printed"),
    [
        ("R1", (0.1, 1.5 / 3, 4.2 / 6, 8.2 / 10), 0.53),
        ("R2", (0.4, 2.1 / 3, 5.1 / 6, 8.2 / 10), 0.69),
        ("R3", (1.0, 2.7 / 3, 5.1 / 6, 8.2 / 10), 0.89),
    ],
)
def test_toy_example_of_the_paper(ious, lrp, printed, algorithm):
    """Table A.6 with the IoUs of figure 1 (the table prints 0.20 for the last 0.05 of R2)."""
    loc_errors = (1 - vector(*TOY_IOUS[ious])) / 0.5
    losses = alrp_loss(TOY_LOGITS, TOY_TARGETS, loc_errors, delta=0.0, algorithm=algorithm)
    total = (losses.classification + losses.localization).item()
    assert losses.classification.item() == pytest.approx((0 + 1 / 3 + 3 / 6 + 6 / 10) / 4)
    assert total == pytest.approx(sum(lrp) / 4, rel=1e-12)
    # The paper cuts 0.8925 to 0.89 and 0.6925 to 0.69.
    assert total == pytest.approx(printed, abs=5e-3)


@algorithms
@quick
@given(case=cases())
def test_weighted_one_to_one_it_is_equation_14(algorithm, case):
    """Theorem 2 for the sum, and its size: what the negatives pay is eq. 10 without E(i)."""
    losses = alrp(case, algorithm=algorithm)
    (gradient,) = torch.autograd.grad(sum(losses), case.logits)
    expected = sum(terms.gradient for terms in alrp_reference(case))
    tolerance = 1e-10 * float(expected.abs().sum()) + ROUNDOFF
    tolerance = tolerance / smallest_false_positives(case)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=tolerance)
    is_pos = case.targets > 0
    assert (gradient[is_pos] <= tolerance).all() and (gradient[~is_pos] >= -tolerance).all()
    paid, earned = gradient[~is_pos].abs().sum(), gradient[is_pos].abs().sum()
    torch.testing.assert_close(paid, earned, rtol=0, atol=tolerance * (1 + len(gradient)))


@algorithms
def test_poorly_localized_positives_push_those_below_by_hand(algorithm):
    """Hard step. Positive (E 0.8) > negative > positive (E 0.3): ranks 1 and 3."""
    logits, loc_errors = vector(2, 1, 0), vector(0.8, 0.3)
    classification, localization = alrp_loss(
        logits, torch.tensor([1, 0, 1]), loc_errors, delta=0.0, algorithm=algorithm
    )
    assert classification.item() == pytest.approx(1 / 3 / 2)
    assert localization.item() == pytest.approx((0.8 + 1.1 / 3) / 2)
    gradient, loc_gradient = torch.autograd.grad(localization, (logits, loc_errors))
    assert gradient.tolist() == pytest.approx([0, 0.8 / 3 / 2, -0.8 / 3 / 2])
    assert loc_gradient.tolist() == pytest.approx([(1 + 1 / 3) / 2, 1 / 3 / 2])


@algorithms
def test_the_value_counts_tied_positives_whole(algorithm):
    """H(0) = 1 in the sum of the value, 1/2 in the rank and in the gradient (ranks 3/2 + 1)."""
    logits, loc_errors = vector(0, 0, 9), vector(0.8, 0.3)
    _, localization = alrp_loss(logits, torch.tensor([1, 1, 0]), loc_errors, algorithm=algorithm)
    assert localization.item() == pytest.approx(1.1 / 2.5)
    gradient, loc_gradient = torch.autograd.grad(localization, (logits, loc_errors))
    assert loc_gradient.tolist() == pytest.approx([1 / 2.5, 1 / 2.5])
    expected = [-0.15 / 2.5 / 2, -0.4 / 2.5 / 2, 0.55 / 2.5 / 2]
    assert gradient.tolist() == pytest.approx(expected)


@algorithms
def test_almost_no_false_positive_keeps_the_classification_part_only(algorithm):
    """FP = 5e-6: the released code drops both parts; the first is continuous and stays."""
    for false_pos, keeps_localization in ((5e-6, False), (5e-5, True)):
        logits, loc_errors = vector(0, 9, -1 + 2 * false_pos), vector(0.8, 0.3)
        losses = alrp_loss(logits, torch.tensor([1, 1, 0]), loc_errors, algorithm=algorithm)
        classification, localization = (
            torch.autograd.grad(x, logits, retain_graph=True)[0].tolist() for x in losses
        )
        error = false_pos / (2 + false_pos) / 2
        assert classification == pytest.approx([-error, 0, error], rel=1e-6)
        amount = keeps_localization * 0.3 / (2 + false_pos) / 2
        assert localization == pytest.approx([-amount, 0, amount], rel=1e-6)


@algorithms
def test_loc_errors_are_differentiated_through(algorithm):
    case = random_case(seed=11)
    ious = torch.rand(9, dtype=torch.float64, requires_grad=True)
    classification, localization = alrp(
        case._replace(loc_errors=(1 - ious) / 0.5), algorithm=algorithm
    )
    localization.backward(retain_graph=True)
    expected = alrp_reference(case)[1].loc_gradient * -2
    torch.testing.assert_close(ious.grad, expected, rtol=1e-10, atol=0)
    (gradient,) = torch.autograd.grad(
        classification, ious, allow_unused=True, materialize_grads=True
    )
    assert (gradient == 0).all()


@algorithms
def test_localization_is_linear_in_the_errors(algorithm):
    case = random_case(seed=12)
    _, once = alrp(case, algorithm=algorithm)
    doubled = 2 * case.loc_errors.detach()
    _, twice = alrp(case._replace(loc_errors=doubled), algorithm=algorithm)
    torch.testing.assert_close(twice, 2 * once, rtol=1e-14, atol=0)


@algorithms
def test_without_negatives_errors_of_one_cost_one(algorithm):
    case = random_case(num_neg=0, delta=0.0)
    ones = torch.ones_like(case.loc_errors)
    classification, localization = alrp(case._replace(loc_errors=ones), algorithm=algorithm)
    assert classification.item() == 0 and localization.item() == pytest.approx(1, rel=1e-14)


@algorithms
def test_an_error_that_is_nan_gives_nan(algorithm):
    case = random_case(seed=13)
    loc_errors = case.loc_errors.detach().clone()
    loc_errors[3] = torch.nan
    assert torch.isnan(alrp(case._replace(loc_errors=loc_errors), algorithm=algorithm)[1])


def test_defaults_are_exact_with_one_logit():
    case = random_case(delta=1.0)
    default = alrp_loss(case.logits, case.targets, case.loc_errors)
    exact = alrp(case, algorithm="exact")
    assert all(torch.equal(x, y) for x, y in zip(default, exact, strict=True))
    assert default.classification is default[0] and default.localization is default[1]


def test_a_million_equal_logits_have_a_closed_form():
    num_pos, num_neg = 1_000, 999_000
    logits = torch.full((num_pos + num_neg,), -4.6, requires_grad=True)
    targets = torch.zeros(num_pos + num_neg)
    targets[::1000] = 1
    loc_errors = torch.linspace(0, 1, num_pos, requires_grad=True)
    classification, localization = alrp_loss(logits, targets, loc_errors)
    false_pos = num_neg / 2
    rank, errors = 1 + (num_pos - 1) / 2 + false_pos, loc_errors.detach()
    assert classification.item() == pytest.approx(false_pos / rank, rel=1e-6)
    assert localization.item() == pytest.approx(num_pos / 2 / rank, rel=1e-6)
    gradient, loc_gradient = torch.autograd.grad(localization, (logits, loc_errors))
    torch.testing.assert_close(loc_gradient, torch.full((num_pos,), 1 / rank), rtol=1e-5, atol=0)
    amounts = (num_pos / 2 - errors) / 2 / rank / num_pos
    torch.testing.assert_close(gradient[::1000], -amounts, rtol=1e-5, atol=0)
    paid = gradient[targets == 0]
    torch.testing.assert_close(
        paid, torch.full_like(paid, amounts.sum() / num_neg), rtol=1e-5, atol=0
    )
