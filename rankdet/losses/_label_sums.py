"""Sums of H between positives whose labels compare in a given way, in O(P log P) time."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._positive_order import PositiveOrder


class ExactLabelSums:
    """:class:`rankdet.losses._ranking.LabelSums` without looking at pairs.

    Args:
        positives: the positives in ranking order.
        order: ``(P,)`` which positive has each place in it.
        labels: ``(P,)`` labels of the positives as given.
    """

    def __init__(self, positives: PositiveOrder, order: Tensor, labels: Tensor) -> None:
        self.positives = positives
        self.order = order
        self.ranks = _dense_ranks(labels[order])
        self.tree = _RankTree(self.ranks, positives.limits)

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i."""
        ranked = self.positives.with_moments(values[..., self.order])
        rows = ranked.flatten(0, -2)
        sums = self.tree.greater(rows) + self.tree.equal(rows)
        return self._as_given(
            self.positives.from_above(sums.view(*ranked.shape[:-1], *sums.shape[1:]))
        )

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k."""
        ranked = self.positives.with_moments(values[self.order])
        per_rank = torch.zeros_like(values).index_add_(0, self.ranks, ranked[0])
        total = per_rank.sum() - per_rank.cumsum(0)
        sums = self.tree.greater(ranked)
        return self._as_given(self.positives.from_below(sums, total[self.ranks]))

    def _as_given(self, ranked: Tensor) -> Tensor:
        return torch.empty_like(ranked).index_copy_(-1, self.order, ranked)


class _RankTree:
    """Wavelet matrix: sums over the first x places, of those with a greater rank than one's own.

    Level by level, from the highest bit of the ranks, places are split into those whose bit is 0
    and, after them, those whose bit is 1, each keeping its order. A query with bit 0 takes in what
    has bit 1 and the same higher bits: those are the greater ranks that part from it at this bit.
    At the end, places with equal ranks are together.

    Args:
        ranks: ``(P,)`` int64 in [0, P).
        limits: ``(2, P)`` two numbers x for each place.
    """

    def __init__(self, ranks: Tensor, limits: Tensor) -> None:
        ranks = ranks.int()
        places = torch.arange(len(ranks), dtype=torch.int32, device=ranks.device)
        order = places
        # Of the places that share a query's higher bits: where they start, and where those among
        # the first x end.
        spans = torch.cat([torch.zeros_like(limits[:1]), limits]).int()
        self.levels = []
        for bit in reversed(range(max(len(ranks) - 1, 0).bit_length())):
            is_one = (ranks >> bit & 1).bool()
            is_one_here = is_one.index_select(0, order)
            zeros = F.pad((~is_one_here).cumsum(0, dtype=torch.int32), (1, 0))
            goes_to = torch.where(is_one_here, zeros[-1] + places - zeros[:-1], zeros[:-1])
            order = torch.empty_like(order).scatter_(0, goes_to.long(), order)
            zeros_before = zeros.index_select(0, spans.flatten()).view_as(spans)
            ones_before = zeros[-1] + spans - zeros_before
            takers = (~is_one).nonzero().squeeze(1)
            self.levels.append((order, takers, ones_before.index_select(1, takers)))
            spans = torch.where(is_one, ones_before, zeros_before)
        self.order, self.spans = order, spans

    def greater(self, values: Tensor) -> Tensor:
        """Sums over the first x places with a greater rank; ``(V, P)`` to ``(V, 2, P)``."""
        rows = values.T.contiguous()
        total = rows.new_zeros(*self.spans[1:].shape, len(values))
        for order, takers, spans in self.levels:
            for limit, sums in zip(total, _sums_in(rows, order, spans), strict=True):
                limit.index_add_(0, takers, sums)
        return total.permute(2, 0, 1)

    def equal(self, values: Tensor) -> Tensor:
        """Sums over the first x places with the same rank; ``(V, P)`` to ``(V, 2, P)``."""
        return _sums_in(values.T.contiguous(), self.order, self.spans).permute(2, 0, 1)


def _sums_in(rows: Tensor, order: Tensor, spans: Tensor) -> Tensor:
    """Sums of ordered rows from the first of three bounds to the second and to the third.

    Args:
        rows: ``(P, V)``; a row is read at once, which is what takes the time.
        order: ``(P,)`` which row has each place.
        spans: ``(3, Q)`` bounds.

    Returns:
        ``(2, Q, V)``.
    """
    sums = F.pad(rows.index_select(0, order).cumsum(0), (0, 0, 1, 0))
    at_bounds = sums.index_select(0, spans.flatten()).view(*spans.shape, rows.shape[1])
    return at_bounds[1:] - at_bounds[0]


def _dense_ranks(labels: Tensor) -> Tensor:
    """0 for the smallest label, 1 for the next larger one, ...; equal labels share a rank."""
    ascending, order = labels.sort()
    is_larger = torch.cat([torch.zeros_like(order[:1]), (ascending[1:] > ascending[:-1]).long()])
    return torch.empty_like(order).scatter_(0, order, is_larger.cumsum(0))
