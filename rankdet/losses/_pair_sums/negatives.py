"""Sums of H between positives and negatives in one pass over the negatives."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._pair_sums.interface import step_at_zero

_CELLS_PER_BREAKPOINT = 4
# On one core, with 200 to 20,000 breakpoints: 16 in a cell are 1.3 to 4 times as fast as the binary
# search; the two are level at about 30 (200 breakpoints) to 70 (20,000).
_MAX_PER_CELL = 16
_FEWEST_VALUES = (
    2048  # They are level at 1,000 to 2,000 values; below, making the table costs more.
)


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

    Args:
        positives: ``(P,)`` depths, ascending.
        negatives: ``(M,)`` depths, same dtype.
        delta: half width of the step, >= 0.
        counts: ``(M,)`` float64, as how many each negative counts; None: one.
    """

    def __init__(
        self, positives: Tensor, negatives: Tensor, delta: float, counts: Tensor | None = None
    ) -> None:
        sides = torch.linspace(-1, 1, 2, dtype=torch.float64, device=positives.device)[:, None]
        starts_and_stops, rests = _round_down(positives, delta * sides)
        is_jump = (starts_and_stops[0] >= _previous(positives)) & (starts_and_stops[1] <= positives)
        breakpoints, self.order = starts_and_stops.flatten().sort()
        self.place = torch.empty_like(self.order)
        self.place[self.order] = torch.arange(len(self.order), device=breakpoints.device)
        slope = 0.5 / delta if delta > 0 else 0.0
        self.slopes = torch.full_like(rests[0], slope).masked_fill_(is_jump, 0.0)
        jumps = 0.5 + sides * (step_at_zero(delta) - 0.5)
        self.rests = torch.where(is_jump, jumps, rests * sides * self.slopes).flatten()
        num_rising = _shift((-sides * ~is_jump).flatten()[self.order].cumsum(0))
        # Nothing changes between two ranges; what is zeroed there cannot add up to round-off.
        self.is_rising = num_rising > 0
        ends = breakpoints.double()
        self.widths = (ends - _shift(ends)) * self.is_rising
        self.bins = find_bins(breakpoints, negatives)
        # A negative beyond the last breakpoint is in bin 2P, where every step is 0.
        self.offsets = F.pad(breakpoints, (0, 1)).index_select(0, self.bins).sub_(negatives)
        self.counts = counts

    def above(self) -> Tensor:
        """FP_i: sum of H(n_j - p_i) over negatives; ``(P,)`` float64."""
        num_above = self._sum_per_bin(self.counts).cumsum(0)
        offsets = self.offsets.double()
        weighted = offsets if self.counts is None else self.counts * offsets
        inside = self._sum_per_bin(weighted) * self.is_rising
        areas = (self.widths * _shift(num_above) + inside).cumsum(0)
        starts, stops = areas[self.place].chunk(2)
        rests = self.rests * num_above[self.place]
        return (self.slopes * (stops - starts) + sum(rests.chunk(2))).clamp(min=0)

    def below(self, values: Tensor) -> Tensor:
        """Sum of ``values[i] * H(n_j - p_i)`` over positives; ``(P,)`` to ``(M,)``."""
        slopes = values * self.slopes
        slopes = _shift(torch.cat([slopes, -slopes])[self.order].cumsum(0)) * self.is_rising
        jumps = (torch.cat([values, values]) * self.rests)[self.order]
        rises = slopes * self.widths
        at_ends = (jumps + torch.cat([rises[1:], rises[:1]])).flip(0).cumsum(0).flip(0)
        return self._at_negatives(slopes).mul_(self.offsets).add_(self._at_negatives(at_ends))

    def _sum_per_bin(self, values: Tensor | None) -> Tensor:
        """Sum over the negatives of each bin but the last; ``(M,)``, None: 1, to ``(2P,)``."""
        num_bins = len(self.widths) + 1
        return torch.bincount(self.bins, values, num_bins)[:-1].double()

    def _at_negatives(self, per_bin: Tensor) -> Tensor:
        """Value of each negative's bin; ``(2P,)`` to ``(M,)``, 0 in the last bin."""
        padded = F.pad(per_bin, (0, 1)).to(self.offsets.dtype)
        return padded.index_select(0, self.bins)


def _shift(values: Tensor) -> Tensor:
    """Give every place the value before it, the first one 0."""
    return torch.cat([torch.zeros_like(values[:1]), values[:-1]])


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


def find_bins(breakpoints: Tensor, values: Tensor) -> Tensor:
    """Count the breakpoints below each value.

    On CPU, where a binary search mispredicts a branch at every step, values look up their cell of a
    uniform grid and walk over the few breakpoints in it. If the breakpoints cluster so that a cell
    holds many, and elsewhere, the binary search is used.

    Args:
        breakpoints: ``(B,)`` ascending.
        values: ``(M,)`` same dtype; NaN and infinity get any bin.

    Returns:
        ``(M,)`` int32 in [0, B].
    """
    if values.device.type == "cpu" and len(values) >= _FEWEST_VALUES and len(breakpoints):
        num_cells = _CELLS_PER_BREAKPOINT * len(breakpoints)
        width = (breakpoints[-1] - breakpoints[0]).abs()  # -0 - 0 is -0, and would turn the grid
        scale = num_cells / width
        own_cells = _cells(breakpoints, breakpoints[0], scale, num_cells)
        sizes = torch.bincount(own_cells, minlength=num_cells)
        most = int(sizes.max())
        if most <= _MAX_PER_CELL:
            cells = _cells(values, breakpoints[0], scale, num_cells)
            first = (sizes.cumsum(0) - sizes).int()
            return _walk(breakpoints, values, first.index_select(0, cells), most)
    return torch.searchsorted(breakpoints, values, out_int32=True)


def _cells(values: Tensor, start: Tensor, scale: Tensor, num_cells: int) -> Tensor:
    """Cell of each value. It never falls with the value, so cells compare as values do."""
    cells = (values - start).mul_(scale)
    cells.clamp_(max=num_cells)  # int32 would overflow to its minimum
    return cells.int().clamp_(0, num_cells - 1)


def _walk(breakpoints: Tensor, values: Tensor, bins: Tensor, num_steps: int) -> Tensor:
    """Go up from the first breakpoint of the cell to the first that is not below the value."""
    # Behind the last one stands an end that no value is above.
    ends = torch.cat([breakpoints, breakpoints.new_full((1,), torch.inf)])
    for _ in range(num_steps):
        bins += ends.index_select(0, bins) < values
    return bins
