"""Sums of H over all pairs in quasi-linear time, without approximation.

All arithmetic is on depths, depth = -logit, so that what is ranked high comes first:
H(s_j - s_i) = clamp((depth_i - depth_j) / (2 delta) + 1/2, 0, 1).
"""

import torch
from torch import Tensor

from rankdet.losses._label_sums import ExactLabelSums
from rankdet.losses._negative_intervals import NegativeIntervals
from rankdet.losses._positive_order import PositiveOrder


class ExactSums:
    """:class:`rankdet.losses._ranking.StepSums` in O(M log P + P log P) time, O(M + P) memory."""

    def __init__(
        self, positives: Tensor, negatives: Tensor, delta: float, counts: Tensor | None = None
    ) -> None:
        depths, self.order = positives.neg().sort()
        self.positives = PositiveOrder(depths.double(), delta)
        self.negatives = NegativeIntervals(depths, negatives.neg(), delta, counts)

    def false_positives(self) -> Tensor:
        """Sum ``H(n_j - p_i)`` over the negatives."""
        return self._as_given(self.negatives.above())

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives."""
        return self.negatives.below(values[self.order])

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over the positives."""
        return self._as_given(self.positives.above(values[..., self.order]))

    def by_label(self, labels: Tensor) -> ExactLabelSums:
        """Sums over the pairs that labels select."""
        return ExactLabelSums(self.positives, self.order, labels)

    def _as_given(self, ranked: Tensor) -> Tensor:
        return torch.empty_like(ranked).index_copy_(-1, self.order, ranked)
