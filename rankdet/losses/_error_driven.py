"""What all ranking losses share: inputs, the choice of algorithm, the error-driven update.

Letters: L logits, P positives, M negatives that can outrank a positive. A ranking loss compares
every positive i with others j by the smoothed step H(s_j - s_i), which rises linearly from 0 at
-delta to 1 at +delta (bucketed_ranking eq. 2); delta = 0 is the hard step with H(0) = 1.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses._pair_sums.interface import SMALLEST_DELTA, StepSums, step_at_zero


class Ranking(NamedTuple):
    """One flat list of logits, split into what is ranked.

    Attributes:
        logits: ``(L,)`` float32 or wider, connected to the graph.
        pos: ``(P,)`` indices of the positives.
        neg: ``(M,)`` indices of the negatives that some positive can see (n >= min(p) - delta);
            all others have no influence and gradient 0.
        labels: ``(P,)`` targets of the positives, float64.
        sums: the sums of H over pairs.
        guard: scalar 0, or NaN if a logit or target is not finite.
    """

    logits: Tensor
    pos: Tensor
    neg: Tensor
    labels: Tensor
    sums: StepSums
    guard: Tensor

    @property
    def num_pos(self) -> int:
        """P."""
        return len(self.pos)

    def scalars(
        self, values: Sequence[Tensor], pos: Sequence[Tensor], neg: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Give computed values their computed gradients.

        Args:
            values: K scalars.
            pos: K gradients ``(P,)`` with respect to the positives.
            neg: at most K gradients ``(M,)`` with respect to the negatives; the scalars beyond them
                do not move negatives.

        Returns:
            K scalars, each of which back-propagates its own gradient.
        """
        dtype = self.logits.dtype
        scalars: Tensor = _ErrorDriven.apply(  # type: ignore[no-untyped-call]
            self.logits,
            (torch.stack(list(values)) + self.guard).to(dtype),
            self.pos,
            torch.stack(list(pos)).to(dtype),
            self.neg,
            torch.stack(list(neg)).to(dtype),
        )
        return scalars.unbind()


def rank(
    logits: Tensor,
    targets: Tensor,
    delta: float,
    algorithm: str,
    algorithms: Mapping[str, type[StepSums]],
) -> Ranking:
    """Check the inputs of a ranking loss and prepare the sums that it is made of.

    Args:
        logits: ``(L,)`` float of any precision.
        targets: ``(L,)``: > 0 positive, 0 negative, < 0 ignored.
        delta: half width of the step, logits, >= 0.
        algorithm: a key of ``algorithms``.
        algorithms: the ways to compute the sums that the loss offers.

    Returns:
        The ranking, in float32 or wider, also under autocast.

    Raises:
        ValueError: wrong shapes or dtypes, a negative delta or an unknown algorithm.
    """
    _check(logits, targets, delta, algorithm, algorithms)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    scores, targets = wide.detach(), targets.detach()
    pos = (targets > 0).nonzero().squeeze(1)
    is_seen = (targets == 0) & (scores >= _threshold(scores[pos], delta))
    neg = is_seen.nonzero().squeeze(1)
    return Ranking(
        logits=wide,
        pos=pos,
        neg=neg,
        labels=targets[pos].double(),
        # Four times as fast as scores[neg], on one CPU core.
        sums=algorithms[algorithm](scores[pos], scores.index_select(0, neg), delta),
        guard=(scores * 0.0).sum() + (targets * 0.0).sum(),
    )


def positive_ranks(r: Ranking, delta: float, self_term: float = 1.0) -> Tensor:
    """Rank among the positives: ``self_term`` + sum of H(p_j - p_i) over the others; ``(P,)``."""
    return r.sums.above(torch.ones_like(r.labels)) + (self_term - step_at_zero(delta))


def safe_divide(numerator: Tensor, denominator: Tensor, smallest: float = 0.0) -> Tensor:
    """Quotient where the denominator is above ``smallest``, elsewhere 0."""
    is_safe = denominator > smallest
    return torch.where(is_safe, numerator / denominator.where(is_safe, 1.0), 0.0)


class _ErrorDriven(torch.autograd.Function):
    """Error-driven update (aLRP section 3): gradients are set by the loss, not derived."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        values: Tensor,
        pos: Tensor,
        pos_gradients: Tensor,
        neg: Tensor,
        neg_gradients: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(pos, pos_gradients, neg, neg_gradients)
        ctx.shape = logits.shape
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        pos, pos_gradients, neg, neg_gradients = ctx.saved_tensors
        gradient = weights.new_zeros(ctx.shape)
        gradient.index_copy_(0, neg, _weighted_sum(neg_gradients, weights))
        gradient.index_copy_(0, pos, _weighted_sum(pos_gradients, weights))
        return gradient, None, None, None, None, None


def _weighted_sum(rows: Tensor, weights: Tensor) -> Tensor:
    """Sum of the rows times their weights; weights beyond the last row are not used."""
    # Not a matrix product, which autocast would compute in half precision.
    total = rows[0] * weights[0]
    for row, weight in zip(rows[1:], weights[1:], strict=False):
        total = total + row * weight
    return total


def _threshold(positives: Tensor, delta: float) -> Tensor:
    """A logit that is certainly not above min(p) - delta, with P = 0 plus infinity."""
    if len(positives) == 0:
        return positives.new_full((), math.inf)
    rounded = (positives.min().double() - delta).to(positives.dtype)
    return torch.nextafter(rounded, rounded.new_full((), -math.inf))


def _check(
    logits: Tensor, targets: Tensor, delta: float, algorithm: str, algorithms: Mapping[str, Any]
) -> None:
    if logits.dim() != 1 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be a float vector, got {logits.dtype} of shape {tuple(logits.shape)}; "
            "flatten images, anchors and classes into one ranking."
        )
    if targets.shape != logits.shape:
        raise ValueError(
            f"targets must have the shape {tuple(logits.shape)} of logits, got "
            f"{tuple(targets.shape)}; pass one target per logit: > 0 positive, 0 negative, "
            "< 0 ignored."
        )
    check_settings(delta, algorithm, algorithms)


def check_settings(delta: float, algorithm: str, algorithms: Mapping[str, Any]) -> None:
    """Raise ValueError for a delta that is no width or an algorithm that is not offered."""
    if not 0 <= delta < math.inf:
        raise ValueError(f"delta is {delta}; give the half width of the step, >= 0 and finite.")
    if 0 < delta < SMALLEST_DELTA:
        raise ValueError(
            f"delta is {delta}, which float32 cannot divide by; give 0, the hard step, or at least "
            f"{SMALLEST_DELTA:.3g}."
        )
    if algorithm not in algorithms:
        known = ", ".join(repr(name) for name in algorithms)
        raise ValueError(f"algorithm is {algorithm!r}; this loss has {known}.")
