"""Sums of H between positives: over all of them, and where their labels compare in a given way.

Everything here has a row for each ranking, and no sum goes beyond its row. Letters: G rankings, P
positives in the longest, Q values at once. Shorter rows end in positives without depth (infinity)
and value (0), whose own results mean nothing.
"""

from collections.abc import Sequence

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
        logits: ``(G, P)`` float64, minus infinity behind those of a shorter row.
        delta: half width of the step, >= 0.

    Attributes:
        order: ``(G, P)`` which positive has each place in ranking order.
        limits: ``(2, G, P)`` how many of the first positives are certainly at H = 1, and how many
            at H > 0, as seen from each. Between them H rises linearly; with delta = 0 all tie.
        dials: ``(2, G, P)`` depths on both dials, in [0, 4).
        uses_second: ``(G, P)`` bool, whose neighborhood crosses the start of the first dial.
    """

    def __init__(self, logits: Tensor, delta: float) -> None:
        depths, self.order = logits.neg().sort()
        self.at_zero = step_at_zero(delta)
        if delta > 0:
            # H depends on distances up to delta only; longer gaps are cut, and those to nowhere.
            gaps = (depths[:, 1:] - depths[:, :-1]) / (2 * delta)
            depths = prefix_sums(gaps.where(gaps < 1, 1.0))[:, : depths.shape[1]]
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
        """Sum of ``values[j] * H(p_j - p_i)`` over j; ``(..., G, P)``."""
        sums = prefix_sums(self.with_moments(self.ranked(values)))
        limits = table_places(self.limits)
        return self.as_given(self.from_above(sums.flatten(-2)[..., limits]))

    def by_label(self, labels: Tensor) -> "OrderedLabelSums":
        """Sums over the pairs that ``(G, P)`` labels select."""
        return OrderedLabelSums(self, labels)

    def ranked(self, values: Tensor) -> Tensor:
        """Bring ``(..., G, P)`` values into ranking order."""
        return values.gather(-1, self.order.expand_as(values))

    def as_given(self, ranked: Tensor) -> Tensor:
        """Bring ``(..., G, P)`` values back from ranking order."""
        return torch.empty_like(ranked).scatter_(-1, self.order.expand_as(ranked), ranked)

    def with_moments(self, values: Tensor) -> Tensor:
        """Stack values and values * depths on both dials; ``(..., G, P)`` to ``(3, ..., G, P)``."""
        return torch.stack([values, values * self.dials[0], values * self.dials[1]])

    def from_above(self, sums: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_j - p_i)`` over j, from what the first j add up to.

        Args:
            sums: ``(3, ..., 2, G, P)`` sums of :meth:`with_moments` over the first j up to each
                limit.

        Returns:
            ``(..., G, P)``.
        """
        full, upto = sums.unbind(-3)
        values, moments = self._rising(upto - full)
        return full[0] + values * (self.depths + self.at_zero) - moments

    def from_below(self, sums: Tensor, total: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_i - p_j)`` over j, from the same sums and a total."""
        full, upto = sums.unbind(-3)
        values, moments = self._rising(upto - full)
        return total - upto[0] - values * (self.depths - self.at_zero) + moments

    def _rising(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Values and moments where H rises, the latter on the dial of each place."""
        values, first, second = sums.unbind()
        return values, torch.where(self.uses_second, second, first)


def prefix_sums(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, ... P; ``(..., P)`` to ``(..., P + 1)``."""
    return F.pad(values.cumsum(-1), (1, 0))


def table_places(numbers: Tensor) -> Tensor:
    """Where prefix sums of the first x of a row are, if those of all rows are one flat table.

    Args:
        numbers: ``(..., G, P)`` integers x in [0, P].
    """
    num_rows, length = numbers.shape[-2:]
    if num_rows == 1:
        return numbers
    return numbers + torch.arange(num_rows, device=numbers.device).unsqueeze(1) * (length + 1)


class OrderedLabelSums:
    """:class:`~.interface.LabelSums` of rows without looking at pairs.

    Args:
        positives: the positives in ranking order.
        labels: ``(G, P)`` labels of the positives as given.
    """

    def __init__(self, positives: PositiveOrder, labels: Tensor) -> None:
        self.positives = positives
        self.ranks = _dense_ranks(positives.ranked(labels))
        self.tree = _RankTree(self.ranks, table_places(positives.limits))

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i; ``(..., G, P)``."""
        positives = self.positives
        ranked = positives.with_moments(positives.ranked(values))
        rows = ranked.flatten(0, -3)
        sums = self.tree.greater(rows) + self.tree.equal(rows)
        return positives.as_given(
            positives.from_above(sums.view(*ranked.shape[:-2], *sums.shape[1:]))
        )

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k; ``(G, P)``."""
        positives = self.positives
        ranked = positives.with_moments(positives.ranked(values))
        per_rank = torch.zeros_like(values).scatter_add_(1, self.ranks, ranked[0])
        total = per_rank.sum(1, keepdim=True) - per_rank.cumsum(1)
        sums = self.tree.greater(ranked)
        return positives.as_given(positives.from_below(sums, total.gather(1, self.ranks)))


class _RankTree:
    """Wavelet matrix: sums over the first x places, of those with a greater rank than one's own.

    Level by level, from the highest bit of the ranks, the places of each row are split into those
    whose bit is 0 and, after them, those whose bit is 1, each keeping its order. A query with bit 0
    takes in what has bit 1 and the same higher bits: those are the greater ranks that part from it
    at this bit. At the end, places with equal ranks are together.

    Places and bounds count through all rows; a row has P places and P + 1 bounds.

    Args:
        ranks: ``(G, P)`` int64 in [0, P).
        limits: ``(2, G, P)`` the bounds behind two numbers of places of the row.
    """

    def __init__(self, ranks: Tensor, limits: Tensor) -> None:
        self.shape = num_rows, length = ranks.shape
        ranks = ranks.int()
        rows = torch.arange(num_rows, dtype=torch.int32, device=ranks.device).unsqueeze(1)
        places = torch.arange(length, dtype=torch.int32, device=ranks.device)
        first_bounds = rows * (length + 1)
        order = (rows * length + places).flatten()
        # Of the places that share a query's higher bits: where they start, and where those among
        # the first x end.
        spans = torch.cat([first_bounds.expand(1, num_rows, length), limits.int()])
        self.levels = []
        for bit in reversed(range(max(length - 1, 0).bit_length())):
            is_one = (ranks >> bit & 1).bool()
            is_one_here = is_one.flatten().index_select(0, order).view_as(ranks)
            zeros = prefix_counts(~is_one_here)
            before, num_zeros = zeros[:, :-1], zeros[:, -1:]
            goes_to = torch.where(is_one_here, num_zeros + places - before, before)
            order = order.view_as(ranks)
            order = torch.empty_like(order).scatter_(1, goes_to.long(), order).flatten()
            if num_rows > 1:
                zeros = zeros + first_bounds
            zeros_before = zeros.flatten().index_select(0, spans.flatten()).view_as(spans)
            ones_before = zeros[:, -1:] + spans - zeros_before
            takers = (~is_one).flatten().nonzero().squeeze(1)
            of_takers = ones_before.flatten(1).index_select(1, takers)
            self.levels.append((order, takers, of_takers))
            spans = torch.where(is_one, ones_before, zeros_before)
        self.order, self.spans = order, spans.flatten(1)

    def greater(self, values: Tensor) -> Tensor:
        """Sums over the first x places with a greater rank; ``(Q, G, P)`` to ``(Q, 2, G, P)``."""
        rows = values.flatten(1).T.contiguous()
        total = rows.new_zeros(2, *rows.shape)
        for order, takers, spans in self.levels:
            for limit, sums in zip(total, _sums_in(rows, self.shape, order, spans), strict=True):
                limit.index_add_(0, takers, sums)
        return self._as_rows(total)

    def equal(self, values: Tensor) -> Tensor:
        """Sums over the first x places with the same rank; ``(Q, G, P)`` to ``(Q, 2, G, P)``."""
        rows = values.flatten(1).T.contiguous()
        return self._as_rows(_sums_in(rows, self.shape, self.order, self.spans))

    def _as_rows(self, sums: Tensor) -> Tensor:
        return sums.permute(2, 0, 1).reshape(sums.shape[2], 2, *self.shape)


def _sums_in(rows: Tensor, shape: Sequence[int], order: Tensor, spans: Tensor) -> Tensor:
    """Sums of ordered values from the first of three bounds to the second and to the third.

    Args:
        rows: ``(G P, Q)``; those of a place are read at once, which is what takes the time.
        shape: G and P.
        order: ``(G P,)`` whose values each place has.
        spans: ``(3, S)`` bounds.

    Returns:
        ``(2, S, Q)``.
    """
    ordered = rows.index_select(0, order).view(*shape, rows.shape[1])
    sums = F.pad(ordered.cumsum(1), (0, 0, 1, 0)).flatten(0, 1)
    at_bounds = sums.index_select(0, spans.flatten()).view(*spans.shape, rows.shape[1])
    return at_bounds[1:] - at_bounds[0]


def prefix_counts(is_counted: Tensor) -> Tensor:
    """How many of the first 0, 1, ... P; ``(G, P)`` bool to ``(G, P + 1)`` int32."""
    return F.pad(is_counted.cumsum(1, dtype=torch.int32), (1, 0))


def _dense_ranks(labels: Tensor) -> Tensor:
    """0 for the smallest label of a row, 1 for the next larger one, ...; equal labels share one."""
    ascending, order = labels.sort()
    is_larger = F.pad((ascending[:, 1:] > ascending[:, :-1]).long(), (1, 0))
    ranks = is_larger.cumsum(1)[:, : labels.shape[1]]
    return torch.empty_like(order).scatter_(1, order, ranks)
