"""Sums of H between positives: over all of them, and where their labels compare in a given way."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._pair_sums.interface import step_at_zero


class PositiveOrder:
    """Positives in ranking order, and where the step of each of them starts and stops.

    Depths are in units of 2 delta, so that H rises over the depths within 1/2 of one's own. A sum
    over these neighbors is the difference of two sums over all, in which digits would be lost if
    depths grew large. So they are read on two dials of circumference 4, half a turn apart: on one
    of them, one's own depth is at least 1 away from where the dial starts again.

    Args:
        depths: ``(P,)`` float64, ascending.
        delta: half width of the step, >= 0.

    Attributes:
        dials: ``(2, P)`` depths on both dials, in [0, 4).
        uses_second: ``(P,)`` bool, whose neighborhood crosses the start of the first dial.
        limits: ``(2, P)`` how many of the first positives are certainly at H = 1, and how many at
            H > 0, as seen from each. Between them H rises linearly; for delta = 0 there are ties.
    """

    def __init__(self, depths: Tensor, delta: float) -> None:
        self.at_zero = step_at_zero(delta)
        if delta > 0:
            # H depends on distances up to delta only; longer gaps are cut.
            gaps = ((depths[1:] - depths[:-1]) / (2 * delta)).clamp(max=1)
            depths = torch.cat([torch.zeros_like(depths[:1]), gaps.cumsum(0)])
            num_full = torch.searchsorted(depths, depths - 0.5, right=True)
            num_any = torch.searchsorted(depths, depths + 0.5)
        else:
            num_full = torch.searchsorted(depths, depths)
            num_any = torch.searchsorted(depths, depths, right=True)
            depths = torch.zeros_like(depths)
        self.limits = torch.stack([num_full, num_any])
        self.dials = torch.stack([depths % 4, (depths + 2) % 4])
        self.uses_second = (self.dials[0] - 2).abs() > 1
        self.depths = torch.where(self.uses_second, self.dials[1], self.dials[0])

    def above(self, values: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_j - p_i)`` over j, in ranking order; ``(..., P)``."""
        return self.from_above(prefix_sums(self.with_moments(values))[..., self.limits])

    def with_moments(self, values: Tensor) -> Tensor:
        """Stack values and values * depths on both dials; ``(..., P)`` to ``(3, ..., P)``."""
        return torch.stack([values, values * self.dials[0], values * self.dials[1]])

    def from_above(self, sums: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_j - p_i)`` over j, from what the first j add up to.

        Args:
            sums: ``(3, ..., 2, P)`` sums of :meth:`with_moments` over the first j up to each limit.

        Returns:
            ``(..., P)``.
        """
        full, upto = sums.unbind(-2)
        values, moments = self._rising(upto - full)
        return full[0] + values * (self.depths + self.at_zero) - moments

    def from_below(self, sums: Tensor, total: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_i - p_j)`` over j, from the same sums and a total."""
        full, upto = sums.unbind(-2)
        values, moments = self._rising(upto - full)
        return total - upto[0] - values * (self.depths - self.at_zero) + moments

    def _rising(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Values and moments where H rises, the latter on the dial of each place."""
        values, first, second = sums.unbind()
        return values, torch.where(self.uses_second, second, first)


def prefix_sums(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, ... P; ``(..., P)`` to ``(..., P + 1)``."""
    return F.pad(values.cumsum(-1), (1, 0))


class ExactLabelSums:
    """:class:`~.interface.LabelSums` without looking at pairs.

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
