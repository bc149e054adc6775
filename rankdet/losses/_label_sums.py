"""Sums of H between positives whose labels compare in a given way, in O(P log^2 P) time."""

import torch
from torch import Tensor

from rankdet.losses._positive_order import PositiveOrder, prefix_sums


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
        return self._as_given(
            self.positives.from_above(self.tree.greater(ranked) + self.tree.equal(ranked))
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
        num = len(ranks)
        places = torch.arange(num, device=ranks.device)
        order = places
        # Where the places that share the higher bits start, and where the first x of them end.
        spans = torch.cat([torch.zeros_like(limits[:1]), limits])
        self.levels = []
        for bit in reversed(range(max(num - 1, 0).bit_length())):
            is_one = (ranks[order] >> bit & 1).bool()
            takes = ~(ranks >> bit & 1).bool()
            self.levels.append((order, is_one, takes, spans))
            num_zeros = prefix_sums((~is_one).long())
            spans = torch.where(takes, num_zeros[spans], num_zeros[-1] + spans - num_zeros[spans])
            goes_to = torch.where(is_one, num_zeros[-1] + places - num_zeros[:-1], num_zeros[:-1])
            order = torch.empty_like(order).scatter_(0, goes_to, order)
        self.order, self.spans = order, spans

    def greater(self, values: Tensor) -> Tensor:
        """Sums over the first x places with a greater rank; ``(..., P)`` to ``(..., 2, P)``."""
        total = values.new_zeros(*values.shape[:-1], *self.spans[1:].shape)
        for order, is_one, takes, spans in self.levels:
            total += _sums_in(values[..., order] * is_one, spans) * takes
        return total

    def equal(self, values: Tensor) -> Tensor:
        """Sums over the first x places with the same rank; ``(..., P)`` to ``(..., 2, P)``."""
        return _sums_in(values[..., self.order], self.spans)


def _sums_in(values: Tensor, spans: Tensor) -> Tensor:
    """Sums from the first of three bounds to the second and to the third."""
    sums = prefix_sums(values)[..., spans]
    return sums[..., 1:, :] - sums[..., :1, :]


def _dense_ranks(labels: Tensor) -> Tensor:
    """0 for the smallest label, 1 for the next larger one, ...; equal labels share a rank."""
    ascending, order = labels.sort()
    is_larger = torch.cat([torch.zeros_like(order[:1]), (ascending[1:] > ascending[:-1]).long()])
    return torch.empty_like(order).scatter_(0, order, is_larger.cumsum(0))
