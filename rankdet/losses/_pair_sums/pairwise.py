"""Sums over all pairs as the papers define them, a bounded block of pairs at a time."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from rankdet.losses._pair_sums.interface import step
from rankdet.losses._pair_sums.rows import Rows

_PAIRS_PER_BLOCK = 2**20  # 8 MB for each float64 matrix of a block


class PairwiseSums:
    """:class:`~.interface.StepSums` in O(P (P + M)) time and bounded memory, ranking by ranking."""

    takes_unseen: ClassVar[bool] = False

    def __init__(
        self, positives: Tensor, of_pos: Rows, negatives: Tensor, of_neg: Rows, delta: float
    ) -> None:
        self.of_pos = of_pos
        self.rankings = [
            _Pairs(*logits, delta)
            for logits in zip(of_pos.split(positives), of_neg.split(negatives), strict=True)
        ]

    def false_positives(self) -> Tensor:
        """Sum ``H(n_j - p_i)`` over the negatives."""
        return torch.cat([pairs.false_positives() for pairs in self.rankings])

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives."""
        return _joined(pairs.spread(x) for pairs, x in self.with_each(values))

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over the positives."""
        return _joined(pairs.above(x) for pairs, x in self.with_each(values))

    def by_label(self, labels: Tensor) -> "PairwiseLabelSums":
        """Sums over the pairs that labels select."""
        return PairwiseLabelSums(self, labels)

    def with_each(self, values: Tensor) -> Iterator[tuple["_Pairs", Tensor]]:
        """Yield the pairs of each ranking and its ``(..., P)`` values."""
        yield from zip(self.rankings, self.of_pos.split(values), strict=True)


class PairwiseLabelSums:
    """:class:`~.interface.LabelSums` over all pairs of positives."""

    def __init__(self, sums: PairwiseSums, labels: Tensor) -> None:
        self.sums = sums
        self.labels = sums.of_pos.split(labels)

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i."""
        each = zip(self.sums.with_each(values), self.labels, strict=True)
        return _joined(pairs.label_above(x, labels) for (pairs, x), labels in each)

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k."""
        each = zip(self.sums.with_each(values), self.labels, strict=True)
        return _joined(pairs.label_below(x, labels) for (pairs, x), labels in each)


class _Pairs:
    """All pairs of one ranking."""

    def __init__(self, positives: Tensor, negatives: Tensor, delta: float) -> None:
        self.positives = positives.double()
        self.negatives = negatives.double()
        self.delta = delta

    def false_positives(self) -> Tensor:
        total = torch.zeros_like(self.positives)
        for rows, h in self._blocks(self.negatives):
            total[rows] = h.sum(dim=1)
        return total

    def spread(self, values: Tensor) -> Tensor:
        total = torch.zeros_like(self.negatives)
        for rows, h in self._blocks(self.negatives):
            total += values[rows] @ h
        return total

    def above(self, values: Tensor) -> Tensor:
        total = torch.zeros_like(values)
        for rows, h in self._blocks(self.positives):
            total[..., rows] = values @ h.T
        return total

    def label_above(self, values: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros_like(values)
        for rows, h in self._blocks(self.positives):
            h = h * (labels >= labels[rows, None])
            total[..., rows] = values @ h.T
        return total

    def label_below(self, values: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros_like(values)
        for rows, h in self._blocks(self.positives):
            total += values[rows] @ (h * (labels < labels[rows, None]))
        return total

    def _blocks(self, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield some positives and ``H(others_j - p_i)`` of these rows i against all columns j."""
        num_rows = max(_PAIRS_PER_BLOCK // max(len(others), 1), 1)
        for start in range(0, len(self.positives), num_rows):
            rows = slice(start, start + num_rows)
            yield rows, step(others - self.positives[rows, None], self.delta)


def _joined(rankings: Iterable[Tensor]) -> Tensor:
    return torch.cat(list(rankings), dim=-1)
