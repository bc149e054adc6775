"""Sums of H between positives, by prefix sums in their order."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._ranking import step_at_zero


class PositiveOrder:
    """Positives in ranking order, and where the step of each of them starts and stops.

    Depths are in units of 2 delta, so that H rises over the depths within 1/2 of one's own. A sum
    over these neighbours is the difference of two sums over all, in which digits would be lost if
    depths grew large. So they are read on two dials of circumference 4, half a turn apart: on one
    of them, one's own depth is at least 1 away from where the dial starts anew.

    Args:
        depths: ``(P,)`` float64, ascending.
        delta: half width of the step, >= 0.

    Attributes:
        dials: ``(2, P)`` depths on both dials, in [0, 4).
        uses_second: ``(P,)`` bool, whose neighbourhood crosses the start of the first dial.
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
        """Sum of ``values[j] * H(p_j - p_i)`` over j, in ranking order; ``(..., P)`` likewise."""
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
