"""Which of the intervals between sorted numbers each value is in."""

import torch
from torch import Tensor

from rankdet.losses._pair_sums.rows import Rows

_CELLS_PER_BREAKPOINT = 4
_FEWEST_CELLS = 2048  # So many do not cost more, and few breakpoints then hardly share one.
# On one core, with 200 to 20,000 breakpoints: 16 in a cell are 1.3 to 4 times as fast as the binary
# search; the two are level at about 30 (200 breakpoints) to 70 (20,000).
_MAX_PER_CELL = 16
_FEWEST_VALUES = (
    2048  # They are level at 1,000 to 2,000 values; below, making the table costs more.
)


def find_bins(
    ends: Tensor, values: Tensor, of_values: Rows, num_finite: Tensor | None = None
) -> Tensor:
    """Count the breakpoints below each value.

    On CPU, where a binary search mispredicts a branch at every step, values look up their cell of a
    uniform grid and walk over the few breakpoints in it. If the breakpoints cluster so that a cell
    holds many, and elsewhere, the binary search is used.

    Args:
        ends: ``(G, B + 1)`` of the bins, ascending: B breakpoints, infinite ones behind those of a
            shorter row, and infinity.
        values: ``(M,)`` same dtype, row by row; NaN and infinity get any bin of their row.
        of_values: to which rows they belong.
        num_finite: ``(G,)`` breakpoints of each row that are not infinite. None: B.

    Returns:
        ``(M,)`` int32: in [0, B], plus g (B + 1) in row g.
    """
    num_bins = ends.shape[1]
    if values.device.type == "cpu" and len(values) >= _FEWEST_VALUES and num_bins > 1:
        grid = _Grid(ends, num_finite)
        if grid.most <= _MAX_PER_CELL:
            return grid.find_bins(values, of_values)
    found = torch.searchsorted(ends, of_values.pad(values), out_int32=True)
    return of_values.unpad(_through_rows(found.clamp_(max=num_bins - 1), num_bins))


class _Grid:
    """Cells of equal width over the breakpoints of each row.

    Attributes:
        most: how many breakpoints there are in the fullest cell.
    """

    def __init__(self, ends: Tensor, num_finite: Tensor | None) -> None:
        num_rows, num_bins = ends.shape
        self.num_cells = max(_CELLS_PER_BREAKPOINT * num_bins, _FEWEST_CELLS)
        self.start = ends[:, 0]
        num_infinite: Tensor | int = 1
        last = ends[:, -2]
        if num_finite is not None:
            num_infinite = num_bins - num_finite
            last = ends.gather(1, (num_finite - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        # -0 - 0 is -0, and would turn the grid.
        self.scale = self.num_cells / (last - self.start).abs()
        self.ends = ends.flatten()
        cells = self._cells(self.ends, Rows(num_rows, ends.numel()))
        sizes = torch.bincount(cells, minlength=num_rows * self.num_cells).view(num_rows, -1)
        sizes[:, -1].sub_(num_infinite)  # Nobody walks over them.
        self.most = int(sizes.max())
        self.first = _through_rows(sizes.cumsum(1) - sizes, num_bins).int().flatten()

    def find_bins(self, values: Tensor, of_values: Rows) -> Tensor:
        """Go up from the first breakpoint of the cell to the first that is not below the value."""
        bins = self.first.index_select(0, self._cells(values, of_values))
        for _ in range(self.most):
            # Booleans would take four times as long.
            bins += self.ends.index_select(0, bins).lt_(values).int()
        return bins

    def _cells(self, values: Tensor, of_values: Rows) -> Tensor:
        """Cell of each value. It never falls with the value, so cells compare as values do."""
        shaped, start = of_values.aligned(values, self.start)
        cells = (shaped - start).mul_(of_values.aligned(values, self.scale)[1])
        cells.clamp_(max=self.num_cells)  # int32 would overflow to its minimum
        in_row = cells.int().clamp_(0, self.num_cells - 1)
        if len(self.start) > 1:
            rows = torch.arange(len(self.start), dtype=torch.int32, device=values.device)
            in_row += of_values.aligned(values, rows * self.num_cells)[1]
        return in_row.flatten()


def _through_rows(numbers: Tensor, length: int) -> Tensor:
    """Count places in rows of that length through all rows; ``(G, ...)``."""
    if len(numbers) == 1:
        return numbers
    rows = torch.arange(len(numbers), dtype=numbers.dtype, device=numbers.device)
    return numbers + (rows * length).unsqueeze(1)
