"""Which interval a number falls into: ``torch.searchsorted`` by a lookup table."""

import torch
from torch import Tensor

_CELLS_PER_BREAKPOINT = 4
# On one core, with 200 to 20,000 breakpoints: 16 in a cell are 1.3 to 4 times as fast as the binary
# search; the two are level at about 30 (200 breakpoints) to 70 (20,000).
_MAX_PER_CELL = 16
_FEWEST_VALUES = (
    2048  # They are level at 1,000 to 2,000 values; below, making the table costs more.
)


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
