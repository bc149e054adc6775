"""Ranking losses of several rankings in one call are those of each alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses.ranking_cases import (
    BUCKETED,
    DELTAS,
    EXACT,
    PAIRWISE,
    Variant,
    assert_same,
    cases,
    over,
    random_case,
)
from losses.ranking_reference import Case, Terms
from torch.nn.functional import pad

from rankdet.losses._pair_sums import groups

everything = over(EXACT, PAIRWISE, BUCKETED)
# Exact distances to min(p) - delta, where a negative starts to move the mean of its bucket.
some_cases = st.sampled_from((0.0, 0.5, 1.0, 10.0)).flatmap(
    lambda delta: st.lists(cases(deltas=(delta,), num_pos=(0, 1, 5)), min_size=2, max_size=3)
)
few = settings(max_examples=8, deadline=None)


def stacked(rankings: list[Case]) -> Case:
    """One case of rows; shorter rankings end in ignored logits."""
    length = max(len(case.logits) for case in rankings)

    def rows(name, fill):
        lists = [getattr(case, name).detach() for case in rankings]
        return torch.stack([pad(x, (0, length - len(x)), value=fill) for x in lists])

    return Case(
        rows("logits", 7.0).requires_grad_(),
        rows("targets", -1.0),
        torch.cat([case.loc_errors.detach() for case in rankings]).requires_grad_(),
        rankings[0].delta,
    )


def evaluate_rows(
    variant: Variant, rankings: list[Case], broken: int | None = None
) -> list[list[Terms]]:
    """Terms of each ranking, from one call; nothing flows to others that are not broken."""
    case = stacked(rankings)
    parts = variant.loss(case)
    sizes = [len(ranking.loc_errors) for ranking in rankings]
    terms = []
    for row, ranking in enumerate(rankings):
        terms.append([])
        for part in parts:
            gradient, loc_gradient = torch.autograd.grad(
                part[row], (case.logits, case.loc_errors), retain_graph=True, materialize_grads=True
            )
            elsewhere = gradient.clone()
            elsewhere[row, : len(ranking.logits)] = 0
            own = loc_gradient.split(sizes)
            for other in {*range(len(rankings))} - {row, broken}:
                assert (elsewhere[other] == 0).all() and (own[other] == 0).all()
            own_gradient = gradient[row, : len(ranking.logits)]
            terms[-1].append(Terms(part[row].detach(), own_gradient, own[row]))
    return terms


def assert_all_same(variant: Variant, rankings: list[Case]) -> None:
    for terms, case in zip(evaluate_rows(variant, rankings), rankings, strict=True):
        assert_same(terms, variant.reference(case), case)


@everything
@few
@given(rankings=some_cases)
def test_each_equals_the_reference(variant, rankings):
    assert_all_same(variant, rankings)


@everything
@pytest.mark.parametrize("delta", [*DELTAS, 1e-15])
def test_numbers_of_positives_and_negatives_may_differ(variant, delta):
    if delta == 1e-3 and variant in BUCKETED.values():
        delta = 2.0
    kinds = ("overlap", "ties", "overlap", "clusters", "apart")
    sizes = ((9, 40), (0, 30), (33, 150), (1, 0), (2, 3))
    assert_all_same(
        variant,
        [
            random_case(seed=n, num_pos=p, num_neg=m, delta=delta, kind=kind)
            for n, ((p, m), kind) in enumerate(zip(sizes, kinds, strict=True))
        ],
    )


@everything
def test_as_many_positives_in_each(variant):
    assert_all_same(variant, [random_case(seed=seed, num_neg=200) for seed in range(3)])


@over(EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_digits_survive_beside_other_scales(variant, dtype):
    """Logits of 1e9 and 1e25 in one ranking, many more in another, do not disturb a third."""
    far, near = random_case(seed=8, num_pos=20, dtype=dtype), random_case(seed=2, dtype=dtype)
    logits = far.logits.detach() * 1e9
    logits[::2] *= 1e16
    many = random_case(seed=4, num_pos=100, num_neg=2_000, dtype=dtype)
    rankings = [many, far._replace(logits=logits), near]
    for terms, case in zip(evaluate_rows(variant, rankings), rankings, strict=True):
        rtol = 1e-10 if dtype == torch.float64 else 1e-5
        assert_same(terms, variant.reference(case), case, rtol)


@everything
@few
@given(rankings=some_cases, order=st.permutations(range(3)))
def test_permuting_rankings_permutes_what_they_give(variant, rankings, order):
    order = [row for row in order if row < len(rankings)]
    case = stacked(rankings)
    errors = case.loc_errors.split([len(x.loc_errors) for x in rankings])
    permuted = case._replace(
        logits=case.logits[order],
        targets=case.targets[order],
        loc_errors=torch.cat([errors[row] for row in order]),
    )
    for part, expected in zip(variant.loss(permuted), variant.loss(case), strict=True):
        torch.testing.assert_close(part, expected[order], rtol=1e-12, atol=1e-14)


@everything
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("target", [0.5, 0.0, -1.0])
def test_what_is_not_finite_stays_in_its_ranking(variant, bad, target):
    rankings = [random_case(seed=seed, num_pos=5 + seed) for seed in range(3)]
    case = rankings[1]
    logits = case.logits.detach().clone()
    where = {0.5: case.targets > 0, 0.0: case.targets == 0, -1.0: case.targets < 0}[target]
    logits[where.nonzero()[0]] = bad
    broken = [rankings[0], case._replace(logits=logits), rankings[2]]
    first, middle, last = evaluate_rows(variant, broken, broken=1)
    assert all(torch.isnan(terms.value) for terms in middle)
    for terms, ranking in ((first, rankings[0]), (last, rankings[2])):
        assert_same(terms, variant.reference(ranking), ranking)


@everything
def test_each_value_back_propagates_with_its_own_weight(variant):
    rankings = [random_case(seed=seed, num_pos=4 + seed) for seed in range(3)]
    case = stacked(rankings)
    parts = variant.loss(case)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, generator=generator, dtype=torch.float64) for _ in parts]
    (gradient,) = torch.autograd.grad(parts, case.logits, weights)
    expected = torch.zeros_like(gradient)
    for row, terms in enumerate(evaluate_rows(variant, rankings)):
        for weight, term in zip(weights, terms, strict=True):
            expected[row, : len(term.gradient)] += weight[row] * term.gradient
    torch.testing.assert_close(gradient, expected, rtol=1e-13, atol=1e-16)


@everything
@pytest.mark.parametrize("size", [1, 100])
def test_groups_do_not_matter(variant, size, monkeypatch):
    rankings = [random_case(seed=seed, num_pos=3 * seed) for seed in range(5)]
    expected = evaluate_rows(variant, rankings)
    monkeypatch.setattr(groups, "_CACHE_BLOCK", size)
    for terms, same, case in zip(evaluate_rows(variant, rankings), expected, rankings, strict=True):
        assert_same(terms, same, case, rtol=1e-13)


@over(EXACT)
def test_hundreds_of_positives_in_rankings_of_different_length(variant):
    rankings = [
        random_case(seed=seed, num_pos=num_pos, num_neg=3_000)
        for seed, num_pos in enumerate((300, 20, 350))
    ]
    assert_all_same(variant, rankings)


@everything
@pytest.mark.parametrize("num_rankings", [1, 3])
def test_without_positives_all_is_zero_and_on_the_graph(variant, num_rankings):
    rankings = [random_case(num_pos=0)] * num_rankings
    for terms in evaluate_rows(variant, rankings):
        assert all((x == 0).all() for term in terms for x in term)


@everything
def test_one_row_is_a_ranking(variant):
    case = random_case(seed=3)
    rows = case._replace(logits=case.logits[None], targets=case.targets[None])
    for part, expected in zip(variant.loss(rows), variant.loss(case), strict=True):
        assert part.shape == (1,) and torch.equal(part[0], expected)


@pytest.mark.gpu
@everything
def test_cuda_equals_cpu(variant):
    rankings = [random_case(seed=seed, num_pos=9 * seed, num_neg=900) for seed in range(4)]
    case = stacked(rankings)
    moved = Case(
        case.logits.detach().cuda().requires_grad_(),
        case.targets.cuda(),
        case.loc_errors.detach().cuda(),
        case.delta,
    )
    parts, expected = variant.loss(moved), variant.loss(case)
    for part, other in zip(parts, expected, strict=True):
        torch.testing.assert_close(part.cpu(), other, rtol=1e-10, atol=1e-14)
        (actual,) = torch.autograd.grad(part.sum(), moved.logits, retain_graph=True)
        (gradient,) = torch.autograd.grad(other.sum(), case.logits, retain_graph=True)
        torch.testing.assert_close(actual.cpu(), gradient, rtol=1e-10, atol=1e-13)
