"""Sums of H between positives, by prefix sums in their order."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._ranking import step_at_zero


class PositiveOrder:
    """Positives in ranking order, and where the step of each of them starts and stops.

    H between two of them depends on their distance only up to delta, so gaps are cut to 2 delta:
    prefix sums then stay small and exact however far the logits are spread.

    Args:
        depths: ``(P,)`` float64, ascending.
        delta: half width of the step, >= 0.

    Attributes:
        depths: ``(P,)`` distance from the first, gaps cut, in units of 2 delta; 0 for delta = 0.
        limits: ``(2, P)`` how many of the first positives are certainly at H = 1, and how many at
            H > 0, as seen from each. Between them H rises linearly; for delta = 0 there are ties.
    """

    def __init__(self, depths: Tensor, delta: float) -> None:
        self.at_zero = step_at_zero(delta)
        if delta == 0:
            num_full = torch.searchsorted(depths, depths)
            num_any = torch.searchsorted(depths, depths, right=True)
            self.depths = torch.zeros_like(depths)
        else:
            gaps = (depths[1:] - depths[:-1]) / (2 * delta)
            self.depths = torch.cat([torch.zeros_like(depths[:1]), gaps.clamp(max=1).cumsum(0)])
            num_full = torch.searchsorted(self.depths, self.depths - 0.5, right=True)
            num_any = torch.searchsorted(self.depths, self.depths + 0.5)
        self.limits = torch.stack([num_full, num_any])

    def above(self, values: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_j - p_i)`` over j, in ranking order; ``(..., P)`` likewise."""
        return self.from_above(prefix_sums(self.with_moments(values))[..., self.limits])

    def with_moments(self, values: Tensor) -> Tensor:
        """Stack what the sums of H need: values and, in two parts, values * depths.

        The parts are the moments rounded to numbers whose sums are exact, and the rest: a sum over
        few neighbours is the difference of two sums over all, in which digits would be lost.

        Args:
            values: ``(..., P)``.

        Returns:
            ``(3, ..., P)``.
        """
        moments = values * self.depths
        _, exponent = torch.frexp(moments.abs().sum())
        coarse = torch.ldexp(torch.ones_like(moments), exponent + 1)
        rounded = (moments + coarse) - coarse
        return torch.stack([values, rounded, moments - rounded])

    def from_above(self, sums: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_j - p_i)`` over j, from what the first j add up to.

        Args:
            sums: ``(3, ..., 2, P)`` sums of :meth:`with_moments` over the first j up to each limit.

        Returns:
            ``(..., P)``.
        """
        full, upto = sums.unbind(-2)
        values, rounded, rest = (upto - full).unbind()
        return full[0] + (values * (self.depths + self.at_zero) - rounded) - rest

    def from_below(self, sums: Tensor, total: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_i - p_j)`` over j, from the same sums and a total."""
        full, upto = sums.unbind(-2)
        values, rounded, rest = (upto - full).unbind()
        return total - upto[0] + (rounded - values * (self.depths - self.at_zero)) + rest


def prefix_sums(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, ... P; ``(..., P)`` to ``(..., P + 1)``."""
    return F.pad(values.cumsum(-1), (1, 0))
