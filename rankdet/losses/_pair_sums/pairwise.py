"""Sums over all pairs as the papers define them, a bounded block of pairs at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rankdet.losses._pair_sums.interface import step

_PAIRS_PER_BLOCK = 2**20  # 8 MB for each float64 matrix of a block


class PairwiseSums:
    """:class:`~.interface.StepSums` in O(P (P + M)) time and bounded memory."""

    def __init__(self, positives: Tensor, negatives: Tensor, delta: float) -> None:
        self.positives = positives.double()
        self.negatives = negatives.double()
        self.delta = delta

    def false_positives(self) -> Tensor:
        """Sum ``H(n_j - p_i)`` over the negatives."""
        total = torch.zeros_like(self.positives)
        for rows, h in self.blocks(self.negatives):
            total[rows] = h.sum(dim=1)
        return total

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives."""
        total = torch.zeros_like(self.negatives)
        for rows, h in self.blocks(self.negatives):
            total += values[rows] @ h
        return total

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over the positives."""
        total = torch.zeros_like(values)
        for rows, h in self.blocks(self.positives):
            total[..., rows] = values @ h.T
        return total

    def by_label(self, labels: Tensor) -> "PairwiseLabelSums":
        """Sums over the pairs that labels select."""
        return PairwiseLabelSums(self, labels)

    def blocks(self, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield some positives and ``H(others_j - p_i)`` of these rows i against all columns j."""
        num_rows = max(_PAIRS_PER_BLOCK // max(len(others), 1), 1)
        for start in range(0, len(self.positives), num_rows):
            rows = slice(start, start + num_rows)
            yield rows, step(others - self.positives[rows, None], self.delta)


class PairwiseLabelSums:
    """:class:`~.interface.LabelSums` over all pairs of positives."""

    def __init__(self, sums: PairwiseSums, labels: Tensor) -> None:
        self.sums = sums
        self.labels = labels

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i."""
        total = torch.zeros_like(values)
        for rows, h in self.sums.blocks(self.sums.positives):
            h = h * (self.labels >= self.labels[rows, None])
            total[..., rows] = values @ h.T
        return total

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k."""
        total = torch.zeros_like(values)
        for rows, h in self.sums.blocks(self.sums.positives):
            total += values[rows] @ (h * (self.labels < self.labels[rows, None]))
        return total
