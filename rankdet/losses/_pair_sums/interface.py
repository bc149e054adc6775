"""The smoothed step H, and the sums over pairs of logits that a ranking loss is made of.

H(s_j - s_i) rises linearly from 0 at -delta to 1 at +delta (bucketed_ranking eq. 2); delta = 0 is
the hard step with H(0) = 1.
"""

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from rankdet.losses._pair_sums.rows import Rows

SMALLEST_DELTA = torch.finfo(torch.float32).tiny
"""Least half width of a smoothed step, logits: below, float32 has subnormal numbers, or 0."""


def step(differences: Tensor, delta: float) -> Tensor:
    """H: the step function, smoothed linearly over [-delta, delta]; delta = 0: [x >= 0].

    Args:
        differences: s_j - s_i, logits.
        delta: half width, >= 0.

    Returns:
        Same shape, in [0, 1].
    """
    if delta == 0:
        return (differences >= 0).to(differences.dtype)
    return (differences / (2 * delta)).add_(0.5).clamp_(0, 1)


def step_at_zero(delta: float) -> float:
    """H(0): what a positive adds to its own rank when the sum does not leave it out."""
    return 0.5 if delta > 0 else 1.0


class LabelSums(Protocol):
    """Sums over pairs of positives that a comparison of their labels y selects."""

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i; ``(..., P)``."""

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k; ``(P,)`` to ``(P,)``."""


class StepSums(Protocol):
    """Sums of H over pairs of logits: the only part of a ranking loss that is not linear.

    Only logits of the same ranking make a pair. P and M count those of all rankings, which follow
    each other.
    """

    takes_unseen: ClassVar[bool]
    """Whether negatives that no positive can see are allowed, and cost little."""

    def __init__(
        self, positives: Tensor, of_pos: Rows, negatives: Tensor, of_neg: Rows, delta: float
    ) -> None:
        """Prepare ``(P,)`` and ``(M,)`` logits; all results are float64 but :meth:`spread`'s."""

    def false_positives(self) -> Tensor:
        """Sum ``H(n_j - p_i)`` over all negatives j; ``(P,)``."""

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over all positives i; ``(P,)`` to ``(M,)``."""

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over all positives j, i too; ``(..., P)``."""

    def by_label(self, labels: Tensor) -> LabelSums:
        """Sums over the pairs that ``(P,)`` labels select."""
