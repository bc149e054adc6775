"""Sums of H between positives and negatives in one pass over the negatives."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._pair_sums.bins import find_bins
from rankdet.losses._pair_sums.interface import step_at_zero
from rankdet.losses._pair_sums.positives import prefix_sums
from rankdet.losses._pair_sums.rows import Rows


class NegativeIntervals:
    """Negatives, binned by where the steps of the positives start and stop rising.

    The step of positive i rises over (depth_i - delta, depth_i + delta). The 2P ends of these
    ranges, sorted, are the breakpoints t_b; bin b holds the negatives in (t_{b-1}, t_b]. They are
    never sorted. With N(t), the number of negatives with depth <= t, FP_i is the integral of N over
    i's range, divided by 2 delta; a negative's gradient is linear in its depth in each bin.

    The ends are rounded down to the floating-point grid of the logits. No negative can lie in what
    the rounding cuts off, so N is constant there and that part (``rests``) is added exactly. A step
    that rises between the neighbors of its logit on that grid is a jump, all rest: only negatives
    that tie are at neither 0 nor 1. So no digit is lost for any delta that a loss takes, or for 0.

    All this holds for each ranking alone: no sum goes beyond its row. Letters: G rankings, P
    positives in the longest, M negatives of all.

    Args:
        positives: ``(G, P)`` logits, minus infinity behind those of a shorter row.
        of_pos: how many there are in each.
        negatives: ``(M,)`` logits, same dtype.
        of_neg: to which rankings they belong.
        delta: half width of the step, >= 0.
        counts: ``(M,)`` float64, as how many each negative counts; None: one.
    """

    def __init__(
        self,
        positives: Tensor,
        of_pos: Rows,
        negatives: Tensor,
        of_neg: Rows,
        delta: float,
        counts: Tensor | None = None,
    ) -> None:
        depths = positives.neg().unsqueeze(1)
        signs = torch.linspace(1, -1, 2, dtype=torch.float64, device=depths.device)[:, None]
        starts_and_stops, rests = _round_down(depths, -delta * signs)  # (G, 2, P)
        starts, stops = starts_and_stops.split(1, dim=1)
        is_jump = (starts >= _previous(depths)) & (stops <= depths)
        breakpoints, self.order = starts_and_stops.flatten(1).sort()
        places = torch.arange(breakpoints.shape[1], device=depths.device).expand_as(self.order)
        self.place = torch.empty_like(self.order).scatter_(1, self.order, places)
        slope = 0.5 / delta if delta > 0 else 0.0
        self.slopes = (slope * signs).masked_fill(is_jump, 0.0)
        jumps = 0.5 - signs * (step_at_zero(delta) - 0.5)
        self.rests = torch.where(is_jump, jumps, -rests * self.slopes)
        # Nothing changes between two ranges; what is zeroed there cannot add up to round-off.
        self.is_rising = prefix_sums(self._sorted(signs * ~is_jump)) > 0
        # Behind the last breakpoint is bin 2P, where every step is 0.
        ends = F.pad(breakpoints, (0, 1), value=torch.inf)
        self.widths = F.pad(ends.double().diff(), (1, 0)).where(self.is_rising, 0.0)
        depths = negatives.neg()
        num_finite = None if of_pos.counts is None else 2 * of_pos.counts
        self.bins = find_bins(ends, depths, of_neg, num_finite)
        ends = ends.where(self.is_rising, 0.0).flatten()
        self.offsets = ends.index_select(0, self.bins).sub_(depths)
        self.counts = counts

    def above(self) -> Tensor:
        """FP_i: sum of H(n_j - p_i) over negatives; ``(G, P)`` float64."""
        in_bin = self._sum_per_bin(self.counts)
        num_above = in_bin.cumsum(1)
        offsets = self.offsets.double()
        weighted = offsets if self.counts is None else self.counts * offsets
        inside = self._sum_per_bin(weighted).where(self.is_rising, 0.0)
        areas = (self.widths * (num_above - in_bin) + inside).cumsum(1)
        starts, stops = self._at_ends(areas).unbind(1)
        rests = (self.rests * self._at_ends(num_above)).sum(1)
        return (self.slopes[:, 0] * (stops - starts) + rests).clamp(min=0)

    def below(self, values: Tensor) -> Tensor:
        """Sum of ``values[i] * H(n_j - p_i)`` over positives; ``(G, P)`` to ``(M,)``."""
        values = values.unsqueeze(1)
        slopes = prefix_sums(self._sorted(values * self.slopes)) * self.is_rising
        steps = self._sorted(values * self.rests) + (slopes * self.widths)[:, 1:]
        at_ends = prefix_sums(steps.flip(1)).flip(1)
        return self._at_negatives(slopes).mul_(self.offsets).add_(self._at_negatives(at_ends))

    def _sorted(self, at_ends: Tensor) -> Tensor:
        """Bring ``(G, 2, P)`` numbers of starts and stops into the order of the breakpoints."""
        return at_ends.flatten(1).gather(1, self.order)

    def _at_ends(self, per_bin: Tensor) -> Tensor:
        """Numbers of the bins that starts and stops close; ``(G, 2P + 1)`` to ``(G, 2, P)``."""
        return per_bin.gather(1, self.place).view_as(self.rests)

    def _sum_per_bin(self, values: Tensor | None) -> Tensor:
        """Sum over the negatives of each bin; ``(M,)``, None: 1, to ``(G, 2P + 1)`` float64."""
        sums = torch.bincount(self.bins, values, self.widths.numel())
        return sums.view_as(self.widths).double()

    def _at_negatives(self, per_bin: Tensor) -> Tensor:
        """Number of each negative's bin; ``(G, 2P + 1)`` to ``(M,)``."""
        return per_bin.to(self.offsets.dtype).flatten().index_select(0, self.bins)


def _round_down(depths: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Largest numbers of the same dtype that are <= depths + shifts, and the rests, float64."""
    wide = depths.double()
    total = wide + shifts
    moved = total - wide
    error = (wide - (total - moved)) + (shifts - moved)  # depths + shifts = total + error, exactly.
    rounded = total.to(depths.dtype)
    is_above = (total - rounded.double()) + error < 0
    rounded = torch.where(is_above, _previous(rounded), rounded)
    return rounded, (total - rounded.double()) + error


def _previous(values: Tensor) -> Tensor:
    """Largest numbers of the same dtype that are smaller."""
    return torch.nextafter(values, values.new_full((), -math.inf))
