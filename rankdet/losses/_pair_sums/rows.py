"""Entries of the rows of a matrix, in one flat list."""

from functools import cached_property

import torch
from torch import Tensor


class Rows:
    """How many entries of a flat list belong to each of G rankings, which follow each other.

    Letters: T entries in all, W in the longest row.

    Args:
        num_rows: G.
        total: T.
        counts: ``(G,)`` int64. None: all rows have the same number.
    """

    def __init__(self, num_rows: int, total: int, counts: Tensor | None = None) -> None:
        self.num_rows = num_rows
        self.total = total
        self.width = total // max(num_rows, 1) if counts is None else int(counts.max())
        # What is as long in all rows is but another view of the list.
        self.counts = None if num_rows * self.width == total else counts

    @classmethod
    def of(cls, index: Tensor, matrix: Tensor) -> "Rows":
        """Count the entries in each row.

        Args:
            index: ``(T,)`` ascending, of the flat matrix.
            matrix: ``(G, L)``.
        """
        num_rows, length = matrix.shape
        if num_rows == 1:
            return cls(1, len(index))
        starts = torch.arange(num_rows + 1, device=index.device) * length
        return cls(num_rows, len(index), torch.searchsorted(index, starts).diff())

    def pad(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Give each ranking a row, filled up at its end; ``(..., T)`` to ``(..., G, W)``."""
        shape = (*values.shape[:-1], self.num_rows, self.width)
        if self.counts is None:
            return values.reshape(shape)
        rows = values.new_full((*shape[:-2], self.num_rows * self.width), fill)
        return rows.index_copy_(-1, self._places, values).view(shape)

    def unpad(self, rows: Tensor) -> Tensor:
        """Take the entries back out of their rows; ``(..., G, W)`` to ``(..., T)``."""
        flat = rows.flatten(-2)
        return flat if self.counts is None else flat.index_select(-1, self._places)

    def aligned(self, values: Tensor, per_row: Tensor) -> tuple[Tensor, Tensor]:
        """Shape ``(T,)`` values and ``(G,)`` numbers of their rows so that they broadcast."""
        if self.num_rows == 1:
            return values, per_row
        if self.counts is None:
            return self.pad(values), per_row.unsqueeze(1)
        return values, per_row.repeat_interleave(self.counts, output_size=self.total)

    def lengths(self) -> Tensor | int:
        """How many entries the row of each entry has: ``(T,)``, or a number if all are alike."""
        if self.counts is None:
            return self.width
        return self.counts.repeat_interleave(self.counts, output_size=self.total)

    def sum(self, values: Tensor) -> Tensor:
        """Add up each row; ``(T,)`` to ``(G,)``."""
        return self.pad(values).sum(-1)

    def split(self, values: Tensor) -> tuple[Tensor, ...]:
        """Rows one by one, along the last dimension."""
        sizes = [self.width] * self.num_rows if self.counts is None else self.counts.tolist()
        return torch.split(values, sizes, dim=-1)

    @cached_property
    def _places(self) -> Tensor:
        """Where in the padded matrix, flat, each entry is; ``(T,)``."""
        assert self.counts is not None
        is_entry = torch.arange(self.width, device=self.counts.device) < self.counts.unsqueeze(1)
        return is_entry.flatten().nonzero_static(size=self.total).squeeze(1)
