"""BAP and BRS: the bucketed algorithm of AP and RS Loss (Yavuz et al., ECCV 2024)."""

import pytest
import torch
from hypothesis import given
from losses.ranking_cases import (
    BUCKETED,
    DELTAS,
    PAIRWISE,
    ap,
    assert_same,
    cases,
    evaluate,
    over,
    quick,
    random_case,
    rank_sort,
)

from rankdet.losses.ap import ap_loss

# Exact distances to min(p) - delta, where a negative starts to count and moves a mean.
bucketed_cases = cases(deltas=(0.0, 0.5, 1.0, 10.0))
functions = pytest.mark.parametrize("function", [ap, rank_sort])


@over(BUCKETED)
@quick
@given(case=bucketed_cases)
def test_equals_the_reference(variant, case):
    assert_same(evaluate(variant, case), variant.reference(case), case)


@over(BUCKETED)
@quick
@given(case=cases(kinds=("overlap",), dtype=torch.float32))
def test_equals_the_reference_in_float32(variant, case):
    actual = evaluate(variant, case)
    assert all(x.dtype == torch.float32 for terms in actual for x in terms)
    assert_same(actual, variant.reference(case), case, rtol=1e-5)


@pytest.mark.parametrize("name", ["ap", "rank-sort"])
@quick
@given(case=cases(deltas=(0.0,)))
def test_theorem_4_1(name, case):
    """At delta = 0 bucketing changes nothing; with our rule for ties not even there."""
    bucketed = BUCKETED[{"ap": "bap", "rank-sort": "brs"}[name]]
    exact = evaluate(PAIRWISE[f"{name}-pairwise"], case)
    assert_same(evaluate(bucketed, case), exact, case)


@pytest.mark.parametrize("delta", DELTAS[1:])
def test_bucketing_leaves_the_sorting_part_alone(delta):
    case = random_case(seed=21, delta=delta)
    _, sorting = evaluate(BUCKETED["brs"], case)
    _, expected = evaluate(PAIRWISE["rank-sort-pairwise"], case)
    assert_same([sorting], [expected], case)


@functions
def test_negatives_count_as_the_mean_of_their_bucket_by_hand(function):
    """delta 1, positive at 0. Buckets {0.5, 3.5} of mean 2 and {-0.9, -0.1} of mean -1/2;
    the negative at -1.5 is out of reach. FP = 2 * 1 + 2 * 1/4, rank = 1/2 + FP.
    """
    logits = torch.tensor([0, 0.5, 3.5, -0.9, -0.1, -1.5], dtype=torch.float64).requires_grad_()
    case = random_case()._replace(
        logits=logits, targets=torch.tensor([1.0, 0, 0, 0, 0, 0]), delta=1.0
    )
    value, *_ = function(case, algorithm="bucketed")
    value.backward()
    assert value.item() == pytest.approx(2.5 / 3)
    expected = [-2.5 / 3, 1 / 3, 1 / 3, 1 / 12, 1 / 12, 0]
    assert logits.grad.tolist() == pytest.approx(expected)


@functions
def test_a_tied_negative_belongs_to_the_bucket_above(function):
    """delta 1: {0, 1} of mean 1/2 above the positive at 0, and {-1} below it, H = 0."""
    logits = torch.tensor([0, 0, 1, -1], dtype=torch.float64).requires_grad_()
    case = random_case()._replace(logits=logits, targets=torch.tensor([1, 0, 0, 0]), delta=1.0)
    value, *_ = function(case, algorithm="bucketed")
    value.backward()
    assert value.item() == pytest.approx(1.5 / 2)
    assert logits.grad.tolist() == pytest.approx([-0.75, 0.375, 0.375, 0])


@functions
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_neg", [3, 7, 10, 999])
def test_rounding_keeps_a_mean_inside_its_bucket(function, num_neg, dtype):
    """The mean of equal numbers, rounded, can be larger or smaller than they are (facts d.4)."""
    for number in (0.1, 0.7, 1 / 3, 1e-3, 4.6, -0.1, -0.7, -1 / 3, -1e-3, -4.6):
        tied = torch.tensor(number, dtype=dtype)
        above = torch.nextafter(tied, tied.new_tensor(torch.inf))
        logits = torch.cat([tied.expand(num_neg), tied[None], above[None]]).requires_grad_()
        targets = torch.tensor([0.0] * num_neg + [0.5, 0.5])
        case = random_case()._replace(logits=logits, targets=targets, delta=0.0)
        value, *_ = function(case, algorithm="bucketed")
        assert value.item() == pytest.approx(num_neg / (num_neg + 2) / 2, rel=1e-6)


@functions
@pytest.mark.parametrize("deviation", [0.0, 1e-6, 1e-5])
def test_an_untrained_network_in_float32_is_exact_at_delta_0(function, deviation):
    """The released BRS fails or pairs sizes with wrong means here (facts d.4)."""
    generator = torch.Generator().manual_seed(2)
    logits = 8 + deviation * torch.randn(50_000, generator=generator)
    targets = torch.zeros(50_000)
    targets[::500] = torch.rand(100, generator=generator).clamp(min=0.01)
    case = random_case()._replace(logits=logits.requires_grad_(), targets=targets, delta=0.0)
    for bucketed, exact in zip(
        function(case, algorithm="bucketed"), function(case, algorithm="pairwise"), strict=True
    ):
        torch.testing.assert_close(bucketed, exact, rtol=1e-6, atol=1e-7)
        gradient, expected = (
            torch.autograd.grad(x, case.logits, retain_graph=True)[0] for x in (bucketed, exact)
        )
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-10)


def test_interpolation_is_not_for_buckets():
    case = random_case()
    with pytest.raises(ValueError, match="interpolate"):
        ap_loss(case.logits, case.targets, interpolate=True, algorithm="bucketed")
