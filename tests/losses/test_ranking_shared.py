"""What all ranking losses and their algorithms have in common."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from losses.ranking_cases import (
    BUCKETED,
    EXACT,
    PAIRWISE,
    assert_same,
    cases,
    evaluate,
    over,
    quick,
    random_case,
)

# Sums and differences of these logits are exact, so that they can be moved without rounding.
exact_cases = cases(deltas=(0.0, 0.5, 1.0), kinds=("ties",))


def permuted(case, order):
    """The same samples in another order; `loc_errors` follow their positives."""
    is_pos = case.targets > 0
    number = (is_pos.cumsum(0) - 1)[order][is_pos[order]]
    return case._replace(
        logits=case.logits.detach()[order].requires_grad_(),
        targets=case.targets[order],
        loc_errors=case.loc_errors.detach()[number].requires_grad_(),
    ), number


@over(EXACT, PAIRWISE)
@quick
@given(case=cases())
def test_equals_the_reference(variant, case):
    assert_same(evaluate(variant, case), variant.reference(case), case)


@over(EXACT, PAIRWISE)
@quick
@given(case=cases(dtype=torch.float32))
def test_equals_the_reference_in_float32(variant, case):
    actual = evaluate(variant, case)
    assert all(x.dtype == torch.float32 for terms in actual for x in terms)
    assert_same(actual, variant.reference(case), case, rtol=1e-5)


@pytest.mark.parametrize("num_pos", [31, 32, 33, 1100])
@over(EXACT, PAIRWISE, BUCKETED)
def test_many_samples_equal_the_reference(variant, num_pos):
    """Around a power of two, and more pairs than any algorithm holds at a time."""
    delta = 0.0 if num_pos == 32 else 0.5
    num_neg = 1500 if num_pos > 100 else 150
    case = random_case(seed=num_pos, num_pos=num_pos, num_neg=num_neg, delta=delta)
    assert_same(evaluate(variant, case), variant.reference(case), case)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outlier", [1e15, 1e25])
@pytest.mark.parametrize("scale", [1e-9, 1e9])
@over(EXACT, PAIRWISE)
def test_digits_survive_any_scale_and_outliers(variant, scale, outlier, dtype):
    """Logits that are 1e25 times farther apart than delta do not disturb those that are close."""
    case = random_case(seed=8, num_pos=20, delta=0.5, kind="overlap")
    logits = case.logits.detach().clone()
    logits[::2] *= outlier
    logits = (scale * logits).to(dtype).requires_grad_()
    scaled = case._replace(logits=logits, delta=scale * case.delta)
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    assert_same(evaluate(variant, scaled), variant.reference(scaled), scaled, rtol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("delta", [1e-30, 1e-15, 1e-8])
@over(EXACT, PAIRWISE)
def test_a_step_narrower_than_the_digits_of_logits_sees_ties(variant, delta, dtype):
    """H is 0, 1/2 and 1; delta is below, about and above half a unit in the last place."""
    case = random_case(seed=8, num_pos=20, delta=1.0, kind="ties", dtype=dtype)
    narrow = case._replace(delta=delta)
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    assert_same(evaluate(variant, narrow), variant.reference(narrow), narrow, rtol)


@over(EXACT, PAIRWISE, BUCKETED)
@quick
@given(case=exact_cases, seed=st.integers(0, 99))
def test_order_of_samples_does_not_matter(variant, case, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(case.logits), generator=generator)
    other, number = permuted(case, order)
    expected = [
        terms._replace(gradient=terms.gradient[order], loc_gradient=terms.loc_gradient[number])
        for terms in evaluate(variant, case)
    ]
    assert_same(evaluate(variant, other), expected, case)


@over(EXACT, PAIRWISE, BUCKETED)
@quick
@given(case=exact_cases, shift=st.sampled_from((-1024.0, -3.5, 64.0)))
def test_a_shift_of_all_logits_changes_nothing(variant, case, shift):
    shifted = case._replace(logits=(case.logits.detach() + shift).requires_grad_())
    assert_same(evaluate(variant, shifted), evaluate(variant, case), shifted)


@over(EXACT, PAIRWISE, BUCKETED)
@quick
@given(case=exact_cases)
def test_the_unit_of_logits_and_delta_changes_nothing(variant, case):
    """Not even the gradient: it is an error, not the derivative of the loss."""
    logits = (4 * case.logits.detach()).requires_grad_()
    scaled = case._replace(logits=logits, delta=4 * case.delta)
    assert_same(evaluate(variant, scaled), evaluate(variant, case), case)


@over(EXACT, PAIRWISE, BUCKETED)
@quick
@given(case=exact_cases)
def test_ignored_is_dropped(variant, case):
    kept = case.targets >= 0
    logits = case.logits.detach()[kept].requires_grad_()
    dropped = evaluate(variant, case._replace(logits=logits, targets=case.targets[kept]))
    actual = evaluate(variant, case)
    assert all((terms.gradient[~kept] == 0).all() for terms in actual)
    assert_same([t._replace(gradient=t.gradient[kept]) for t in actual], dropped, case)


@over(EXACT, PAIRWISE, BUCKETED)
@quick
@given(case=cases())
def test_gradients_of_positives_and_negatives_balance(variant, case):
    """Theorem 2 of aLRP; and the first scalar of every loss is what its negatives pay."""
    is_pos, tolerance = case.targets > 0, len(case.logits) * (1e-13)
    for number, (value, gradient, _) in enumerate(evaluate(variant, case)):
        pos, neg = gradient[is_pos], gradient[~is_pos]
        is_sorting = number == 1 and variant.signs in ((1, 0), ())
        if is_sorting:
            assert (neg == 0).all() and abs(pos.sum()) <= tolerance
        else:
            assert (pos <= tolerance).all() and (neg >= -tolerance).all()
            torch.testing.assert_close(pos.abs().sum(), neg.abs().sum(), rtol=0, atol=tolerance)
        if number == 0:
            torch.testing.assert_close(neg.sum(), value, rtol=0, atol=tolerance)


@over(EXACT, PAIRWISE)
@quick
@given(case=exact_cases, rise=st.sampled_from((0.125, 1.0, 7.0)), which=st.integers(0, 99))
def test_a_rising_negative_never_helps(variant, case, rise, which):
    """Except aLRP's localization part, whose ranks grow; and RS's sorting part ignores it."""
    negatives = (case.targets == 0).nonzero().flatten()
    assume(len(negatives))
    logits = case.logits.detach().clone()
    logits[negatives[which % len(negatives)]] += rise
    before, after = variant.loss(case), variant.loss(case._replace(logits=logits))
    for low, high, sign in zip(before, after, variant.signs, strict=True):
        difference = float((high - low).detach())
        assert sign * difference >= -1e-12 if sign else abs(difference) <= 1e-12


@over(EXACT, PAIRWISE, BUCKETED)
@quick
@given(case=exact_cases)
def test_ties_share_one_gradient(variant, case):
    loc_errors = torch.full_like(case.loc_errors, 0.25).requires_grad_()
    tied = case._replace(targets=case.targets.sign(), loc_errors=loc_errors)
    for terms in evaluate(variant, tied):
        assert torch.isfinite(terms.gradient).all()
        for logit in tied.logits.unique():
            for target in (0, 1):
                same = terms.gradient[(tied.logits == logit) & (tied.targets == target)]
                assert len(same) == 0 or same.max() - same.min() <= 1e-14


@pytest.mark.parametrize("delta", [0.0, 0.5])
@over(EXACT, PAIRWISE, BUCKETED)
def test_a_perfect_ranking_costs_nothing(variant, delta):
    targets = torch.tensor([0, 0.9, 0, 0.7, -1, 0.7, 0])
    logits = torch.tensor([-2, 3, -2, 1, 9, 1.0, -0.75]).requires_grad_()
    case = random_case(num_pos=3)._replace(logits=logits, targets=targets, delta=delta)
    for number, terms in enumerate(evaluate(variant, case)):
        is_localization = number == 1 and variant.signs == (1, -1)
        assert is_localization or terms.value.abs() <= 1e-7
        assert (terms.gradient.abs() <= 1e-7).all()


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.25, 0.0), (0.0, 2.0), (3.0, -0.5)])
@over(*({k: v for k, v in g.items() if len(v.signs) != 1} for g in (EXACT, PAIRWISE)))
def test_scalars_are_weighted_independently(variant, weights):
    case = random_case(seed=5)
    first, second = evaluate(variant, case)
    total = sum(w * value for w, value in zip(weights, variant.loss(case), strict=True))
    total.backward()
    expected = weights[0] * first.gradient + weights[1] * second.gradient
    torch.testing.assert_close(case.logits.grad, expected, rtol=1e-14, atol=1e-17)


@over(EXACT, PAIRWISE, BUCKETED)
def test_same_inputs_give_the_same_bits(variant):
    case = random_case(num_pos=300, num_neg=3000, dtype=torch.float32)
    for first, second in zip(evaluate(variant, case), evaluate(variant, case), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_pos", [0, 1, 40, 1100])
@over(EXACT, PAIRWISE, BUCKETED)
def test_cuda_equals_cpu(variant, num_pos, dtype):
    case = random_case(seed=3, num_pos=num_pos, num_neg=4000, dtype=dtype)
    inputs = (x.detach().cuda().requires_grad_() for x in (case.logits, case.loc_errors))
    logits, loc_errors = inputs
    cuda = evaluate(
        variant, case._replace(logits=logits, targets=case.targets.cuda(), loc_errors=loc_errors)
    )
    assert all(x.is_cuda and x.dtype == dtype for terms in cuda for x in terms)
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    assert_same([type(t)(*(x.cpu() for x in t)) for t in cuda], evaluate(variant, case), case, rtol)
