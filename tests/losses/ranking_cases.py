"""Inputs for the ranking losses, every loss as one kind of function, and how both are compared."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from unittest import mock

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from losses.ranking_reference import (
    Case,
    Terms,
    alrp_reference,
    ap_reference,
    ndcg_reference,
    rank_sort_reference,
    smallest_false_positives,
)
from torch import Tensor

from rankdet.losses._pair_sums import bins, exact, seen
from rankdet.losses.alrp import alrp_loss
from rankdet.losses.ap import ap_loss
from rankdet.losses.ndcg import ndcg_loss
from rankdet.losses.rank_sort import rank_sort_loss

DELTAS = (0.0, 1e-3, 0.5, 1.0, 10.0)
quick = settings(max_examples=20, deadline=None)


def ap(case: Case, **options) -> tuple[Tensor, ...]:
    return (ap_loss(case.logits, case.targets, delta=case.delta, **options),)


def rank_sort(case: Case, **options) -> tuple[Tensor, ...]:
    return rank_sort_loss(case.logits, case.targets, delta=case.delta, **options)


def alrp(case: Case, **options) -> tuple[Tensor, ...]:
    return alrp_loss(case.logits, case.targets, case.loc_errors, delta=case.delta, **options)


def ndcg(case: Case, **options) -> tuple[Tensor, ...]:
    return (ndcg_loss(case.logits, case.targets, delta=case.delta, **options),)


class Variant(NamedTuple):
    """A loss with its options, what it must equal, and how it answers a rising negative."""

    loss: Callable[[Case], tuple[Tensor, ...]]
    reference: Callable[[Case], tuple[Terms, ...]]
    signs: tuple[int, ...]


LOSSES = {
    "ap": Variant(ap, ap_reference, (1,)),
    "interpolated-ap": Variant(
        partial(ap, interpolate=True), partial(ap_reference, interpolate=True), (1,)
    ),
    "rank-sort": Variant(rank_sort, rank_sort_reference, (1, 0)),
    "alrp": Variant(alrp, alrp_reference, (1, -1)),
    "ndcg": Variant(ndcg, ndcg_reference, (1,)),
}


def _with(algorithm: str) -> dict[str, Variant]:
    return {
        f"{name}-{algorithm}": variant._replace(loss=partial(variant.loss, algorithm=algorithm))
        for name, variant in LOSSES.items()
    }


def _as_if_large(loss):
    """Small rankings go the ways of those with many positives and negatives."""

    def evaluate(case: Case) -> tuple[Tensor, ...]:
        with (
            mock.patch.object(exact, "MOST_PAIRS", 0),
            mock.patch.object(seen, "_MANY", 2),
            mock.patch.object(bins, "_FEWEST_VALUES", 1),
        ):
            return loss(case)

    return evaluate


EXACT, PAIRWISE = _with("exact"), _with("pairwise")
for _name in ("rank-sort", "alrp"):
    _variant = EXACT[f"{_name}-exact"]
    EXACT[f"{_name}-as-if-large"] = _variant._replace(loss=_as_if_large(_variant.loss))
BUCKETED = {
    "bap": Variant(partial(ap, algorithm="bucketed"), partial(ap_reference, bucketed=True), ()),
    "brs": Variant(
        partial(rank_sort, algorithm="bucketed"), partial(rank_sort_reference, bucketed=True), ()
    ),
}


def over(*groups: dict[str, Variant]) -> pytest.MarkDecorator:
    """Run a test over the variants of the groups, as argument `variant`."""
    variants = {name: variant for group in groups for name, variant in group.items()}
    return pytest.mark.parametrize("variant", variants.values(), ids=variants.keys())


def draw_scores(kind: str, num: int, width: float, generator: torch.Generator) -> Tensor:
    """Logits whose distances matter to a step of half width `width`."""
    normal = torch.randn(num, generator=generator, dtype=torch.float64)
    grid = torch.randint(-24, 25, (num,), generator=generator) / 8
    if kind == "ties":  # multiples of width / 8: ties, and distances of exactly the width
        return grid * width
    if kind == "overlap":
        return normal * 2 * width
    if kind == "apart":
        return (normal * 5e3).clamp(-1e4, 1e4)
    far = 1e4 * torch.randint(-1, 2, (num,), generator=generator)
    return far + grid * width  # "clusters"


def random_case(
    *,
    seed: int = 0,
    num_pos: int = 9,
    num_neg: int = 40,
    num_ignored: int = 3,
    delta: float = 0.5,
    kind: str = "overlap",
    dtype: torch.dtype = torch.float64,
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    num = num_pos + num_neg + num_ignored
    logits = draw_scores(kind, num, delta or 1.0, generator)
    iou = 1 - torch.rand(num_pos, generator=generator, dtype=torch.float64)
    if seed % 2:
        iou = (4 * iou).ceil() / 4  # IoUs tie, and some are 1
    targets = torch.cat([iou, torch.zeros(num_neg), torch.full((num_ignored,), -1.0)])
    order = torch.randperm(num, generator=generator)
    loc_errors = torch.rand(num_pos, generator=generator, dtype=torch.float64)
    return Case(
        logits[order].to(dtype).requires_grad_(),
        targets[order].to(dtype),
        loc_errors.to(dtype).requires_grad_(),
        delta,
    )


def cases(
    deltas=DELTAS, kinds=("ties", "overlap", "apart", "clusters"), num_pos=(0, 1, 2, 5, 17), **fixed
):
    """Ties, overlaps and separations of few, no and many positives, negatives and ignored."""
    return st.builds(
        random_case,
        seed=st.integers(0, 2**31),
        num_pos=st.sampled_from(num_pos),
        num_neg=st.sampled_from((0, 1, 3, 45)),
        num_ignored=st.sampled_from((0, 4)),
        delta=st.sampled_from(deltas),
        kind=st.sampled_from(kinds),
        **{name: st.just(value) for name, value in fixed.items()},
    )


def evaluate(variant: Variant, case: Case) -> tuple[Terms, ...]:
    """Every returned scalar with the gradients that it alone gives."""
    inputs = (case.logits, case.loc_errors)
    values = variant.loss(case)
    return tuple(
        Terms(
            v.detach(), *torch.autograd.grad(v, inputs, retain_graph=True, materialize_grads=True)
        )
        for v in values
    )


ROUNDOFF = 1e-14  # absolute, of one H


def assert_same(actual, expected, case: Case, rtol: float = 1e-10) -> None:
    """Compare terms relative to the largest magnitude of each vector, plus `ROUNDOFF`."""
    assert len(actual) == len(expected)
    # Only aLRP divides its localization part by FP(i), and returns that part second.
    floors = (ROUNDOFF, ROUNDOFF / smallest_false_positives(case))
    for terms, expected_terms, floor in zip(actual, expected, floors, strict=False):
        for x, y in zip(terms, expected_terms, strict=True):
            scale = float(y.abs().max()) if y.numel() else 0.0
            torch.testing.assert_close(x.double(), y.double(), rtol=0, atol=rtol * scale + floor)
