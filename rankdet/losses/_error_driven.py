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
from rankdet.losses._pair_sums.rows import Rows
from rankdet.losses._pair_sums.seen import all_negatives, are_many_above, lowest_seen


class Ranking(NamedTuple):
    """G lists of logits, each split into what is ranked in it.

    Attributes:
        logits: ``(L,)``, one list, or ``(G, L)``, float32 or wider, connected to the graph.
        positives: ``(P,)`` logits of the positives, without gradient.
        pos: their indices, of all lists after each other.
        of_pos: to which lists they belong.
        neg: ``(M,)`` indices of the negatives that some positive can see (n >= min(p) - delta);
            all others have no influence and gradient 0. None: all logits, M = G L; what is no
            negative has the logit of one that nobody can see.
        of_neg: to which lists they belong.
        labels: ``(P,)`` targets of the positives, float64.
        sums: the sums of H over pairs.
        guard: ``(G,)`` 0, or NaN if a logit or target of the list is not finite.
    """

    logits: Tensor
    positives: Tensor
    pos: Tensor
    of_pos: Rows
    neg: Tensor | None
    of_neg: Rows
    labels: Tensor
    sums: StepSums
    guard: Tensor

    @property
    def num_pos(self) -> Tensor | int:
        """Number of positives in the list of each positive: ``(P,)``, or for all."""
        return self.of_pos.lengths()

    def scalars(
        self, values: Sequence[Tensor], pos: Sequence[Tensor], neg: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Give computed values their computed gradients.

        Args:
            values: K times ``(P,)`` what each positive adds to a scalar.
            pos: K gradients ``(P,)`` with respect to the positives.
            neg: at most K gradients ``(M,)`` with respect to the negatives; the scalars beyond them
                do not move negatives.

        Returns:
            K scalars, ``(G,)`` if there are lists, each of which back-propagates its own gradient.
        """
        dtype = self.logits.dtype
        sums = self.of_pos.sum(torch.stack(list(values))) + self.guard
        scalars: Tensor = _ErrorDriven.apply(  # type: ignore[no-untyped-call]
            self.logits,
            sums.to(dtype).view(-1, *self.logits.shape[:-1]),
            _Gradients(self.pos, self.of_pos, [x.to(dtype) for x in pos]),
            _Gradients(self.neg, self.of_neg, [x.to(dtype) for x in neg]),
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
        logits: ``(L,)`` or, G >= 1 independent rankings, ``(G, L)``, float of any precision.
        targets: the same shape: > 0 positive, 0 negative, < 0 ignored.
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
    scores, goals = (torch.atleast_2d(x.detach()) for x in (wide, targets))
    pos = (goals > 0).flatten().nonzero().squeeze(1)
    of_pos = Rows.of(pos, scores)
    positives = scores.flatten()[pos]
    sums = algorithms[algorithm]
    lowest = lowest_seen(of_pos.pad(positives, math.inf), delta)
    if sums.takes_unseen and are_many_above(lowest, scores):
        neg, negatives = None, all_negatives(scores, goals, pos)
        of_neg = Rows(len(scores), len(negatives))
    else:
        neg = ((goals == 0) & (scores >= lowest)).flatten().nonzero().squeeze(1)
        # Four times as fast as scores[neg], on one CPU core.
        negatives = scores.flatten().index_select(0, neg)
        of_neg = Rows.of(neg, scores)
    return Ranking(
        logits=wide,
        positives=positives,
        pos=pos,
        of_pos=of_pos,
        neg=neg,
        of_neg=of_neg,
        labels=goals.flatten()[pos].double(),
        sums=sums(positives, of_pos, negatives, of_neg, delta),
        guard=_zero_if_finite(scores) + _zero_if_finite(goals),
    )


def positive_ranks(r: Ranking, delta: float, self_term: float = 1.0) -> Tensor:
    """Rank among the positives: ``self_term`` + sum of H(p_j - p_i) over the others; ``(P,)``."""
    return r.sums.above(torch.ones_like(r.labels)) + (self_term - step_at_zero(delta))


def safe_divide(numerator: Tensor, denominator: Tensor, smallest: float = 0.0) -> Tensor:
    """Quotient where the denominator is above ``smallest``, elsewhere 0."""
    is_safe = denominator > smallest
    return torch.where(is_safe, numerator / denominator.where(is_safe, 1.0), 0.0)


class _Gradients(NamedTuple):
    """Gradients of K scalars with respect to T logits.

    Attributes:
        places: ``(T,)`` which logits; None: all.
        of: to which lists they belong.
        of_scalars: K times ``(T,)``.
    """

    places: Tensor | None
    of: Rows
    of_scalars: list[Tensor]

    def weighted(self, weights: Tensor) -> Tensor:
        """Sum over the scalars by ``(K, G)`` weights, those beyond K are not used; ``(T,)``."""
        # Not a matrix product, which autocast would compute in half precision.
        terms = [
            torch.mul(*self.of.aligned(*x)) for x in zip(self.of_scalars, weights, strict=False)
        ]
        return sum(terms[1:], terms[0]).flatten()


class _ErrorDriven(torch.autograd.Function):
    """Error-driven update (aLRP section 3): gradients are set by the loss, not derived."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, values: Tensor, pos: _Gradients, neg: _Gradients
    ) -> Tensor:
        ctx.pos, ctx.neg = pos, neg
        ctx.shape = logits.shape
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        by_list = weights.reshape(len(weights), -1)
        gradient = ctx.neg.weighted(by_list)
        if ctx.neg.places is not None:
            zeros = weights.new_zeros(ctx.shape).flatten()
            gradient = zeros.index_copy_(0, ctx.neg.places, gradient)
        gradient.index_copy_(0, ctx.pos.places, ctx.pos.weighted(by_list))
        return gradient.view(ctx.shape), None, None, None


def _zero_if_finite(rows: Tensor) -> Tensor:
    """0, or NaN where a row is not finite; ``(G, L)`` to ``(G,)``."""
    if rows.shape[1] == 0:
        return rows.new_zeros(len(rows))
    # No matrix of products; nor a sum, which could overflow.
    return rows.amax(1) * 0.0 + rows.amin(1) * 0.0


def _check(
    logits: Tensor, targets: Tensor, delta: float, algorithm: str, algorithms: Mapping[str, Any]
) -> None:
    is_ranking = logits.dim() == 1 or (logits.dim() == 2 and len(logits) > 0)
    if not is_ranking or not logits.is_floating_point():
        raise ValueError(
            f"logits must be a float vector (L,) or rankings (G, L), got {logits.dtype} of shape "
            f"{tuple(logits.shape)}; flatten images, anchors and classes into one ranking."
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
