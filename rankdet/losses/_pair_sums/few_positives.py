"""Sums of H between few positives, of which all pairs fit a small matrix."""

from torch import Tensor

from rankdet.losses._pair_sums.interface import step


class PairMatrix:
    """The same sums as :class:`~.positives.PositiveOrder`, pair by pair: fewer, larger operations.

    Args:
        logits: ``(G, P)`` float64, minus infinity behind those of a shorter row.
        delta: half width of the step, >= 0.
    """

    def __init__(self, logits: Tensor, delta: float) -> None:
        # At [g, j, i]: H(p_j - p_i).
        self.steps = step(logits.unsqueeze(2) - logits.unsqueeze(1), delta)

    def above(self, values: Tensor) -> Tensor:
        """Sum of ``values[j] * H(p_j - p_i)`` over j; ``(..., G, P)``."""
        return _sum_over(values, self.steps)

    def by_label(self, labels: Tensor) -> "LabelMatrix":
        """Sums over the pairs that ``(G, P)`` labels select."""
        return LabelMatrix(self.steps, labels)


class LabelMatrix:
    """:class:`~.interface.LabelSums` of rows."""

    def __init__(self, steps: Tensor, labels: Tensor) -> None:
        # At [g, j, i]: y_j >= y_i.
        is_above = labels.unsqueeze(2) >= labels.unsqueeze(1)
        self.above_label = steps * is_above
        self.below_label = steps - self.above_label

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over j with y_j >= y_i; ``(..., G, P)``."""
        return _sum_over(values, self.above_label)

    def below(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(p_k - p_i)`` over i with y_i > y_k; ``(G, P)``."""
        return _sum_over(values, self.below_label.mT)


def _sum_over(values: Tensor, pairs: Tensor) -> Tensor:
    """Sum ``values[..., g, j] * pairs[g, j, i]`` over j."""
    rows = values.unsqueeze(0).flatten(0, -3).transpose(0, 1)
    return (rows @ pairs).transpose(0, 1).reshape(values.shape)
