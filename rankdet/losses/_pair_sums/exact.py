"""Sums of H over all pairs in quasi-linear time, without approximation.

Most arithmetic is on depths, depth = -logit, so that what is ranked high comes first:
H(s_j - s_i) = clamp((depth_i - depth_j) / (2 delta) + 1/2, 0, 1).
"""

from typing import ClassVar

import torch
from torch import Tensor

from rankdet.losses._pair_sums.few_positives import LabelMatrix, PairMatrix
from rankdet.losses._pair_sums.negatives import NegativeIntervals
from rankdet.losses._pair_sums.positives import OrderedLabelSums, PositiveOrder
from rankdet.losses._pair_sums.rows import Rows

# Of positives. On one core, a matrix of so many takes 0.5 (RS) to 0.7 times (AP) as long as to put
# them in order, of 2**13 0.1 to 0.3 times; of twice as many, pages of fresh memory can cost more.
MOST_PAIRS = 2**17


class ExactSums:
    """:class:`~.interface.StepSums` in O(M log P + P log P) time, O(M + P) memory."""

    takes_unseen: ClassVar[bool] = True

    def __init__(
        self,
        positives: Tensor,
        of_pos: Rows,
        negatives: Tensor,
        of_neg: Rows,
        delta: float,
        counts: Tensor | None = None,
    ) -> None:
        self.of_pos = of_pos
        logits = of_pos.pad(positives, -torch.inf)
        is_small = logits.numel() * of_pos.width <= MOST_PAIRS
        self.positives = (PairMatrix if is_small else PositiveOrder)(logits.double(), delta)
        self.negatives = NegativeIntervals(logits, of_pos, negatives, of_neg, delta, counts)

    def false_positives(self) -> Tensor:
        """Sum ``H(n_j - p_i)`` over the negatives."""
        return self.of_pos.unpad(self.negatives.above())

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives."""
        return self.negatives.below(self.of_pos.pad(values))

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over the positives."""
        return self.of_pos.unpad(self.positives.above(self.of_pos.pad(values)))

    def by_label(self, labels: Tensor) -> "ExactLabelSums":
        """Sums over the pairs that labels select."""
        return ExactLabelSums(self.positives.by_label(self.of_pos.pad(labels)), self.of_pos)


class ExactLabelSums:
    """:class:`~.interface.LabelSums` of rankings that are rows of a matrix to what computes."""

    def __init__(self, sums: LabelMatrix | OrderedLabelSums, of_pos: Rows) -> None:
        self.sums = sums
        self.of_pos = of_pos

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i."""
        return self.of_pos.unpad(self.sums.above(self.of_pos.pad(values)))

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k."""
        return self.of_pos.unpad(self.sums.below(self.of_pos.pad(values)))
