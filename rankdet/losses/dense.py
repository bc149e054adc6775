"""What the score-based losses of dense detectors share: negatives, positives, the mean.

Letters: N rows (anchors or locations of all images), C classes, F foreground rows.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from rankdet.losses._distributed import sum_over_ranks_
from rankdet.losses.joint import JointInputs, JointLoss, joint_inputs


class DenseLoss(JointLoss):
    """A sum over all rows and classes, divided by the number of foreground rows.

    That number is the mean over ranks, so that several processes, whose gradients are averaged,
    train as one process does on all their images.

    Args:
        num_classes: C, number of foreground classes.
        box_weight: weight of the box loss against classification.

    Raises:
        ValueError: ``box_weight`` is negative or not finite.
    """

    def __init__(self, num_classes: int, *, box_weight: float = 1.0) -> None:
        super().__init__(num_classes)
        check_weight("box_weight", box_weight)
        self.box_weight = box_weight

    @abstractmethod
    def negatives(self, logits: Tensor) -> Tensor:
        """Loss of each logit whose class is not the row's; ``(n, C)`` to ``(n, C)``."""

    @abstractmethod
    def positives(self, logits: Tensor, classes: Tensor, ious: Tensor) -> Tensor:
        """Loss of the logit of each foreground row at its class.

        Args:
            logits: ``(F,)``.
            classes: ``(F,)`` int64 in [0, C).
            ious: ``(F,)`` IoU of the predicted box.

        Returns:
            ``(F,)``.
        """

    def forward(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`JointLoss.forward`: ``loss_cls`` and ``loss_box_reg``."""
        x = joint_inputs(logits, labels, ious, box_losses, self.num_classes)
        num_pos = _mean_over_ranks(x.rows)
        box_loss = self.box_weight * box_losses.to(x.logits.dtype).sum()
        return {
            "loss_cls": self._classification(x) / num_pos + x.guard,
            "loss_box_reg": box_loss / num_pos,
        }

    def _classification(self, x: JointInputs) -> Tensor:
        is_negative = (~x.is_ignored).unsqueeze(1).repeat(1, self.num_classes)
        is_negative[x.rows, x.classes] = False
        positives = self.positives(x.logits[x.rows, x.classes], x.classes, x.ious)
        return (self.negatives(x.logits) * is_negative).sum() + positives.sum()

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"{super().extra_repr()}, box_weight={self.box_weight}"


def check_weight(name: str, value: float, largest: float = float("inf")) -> None:
    """Raise ValueError unless a setting is finite and in [0, largest]."""
    if not (0 <= value <= largest and value < float("inf")):
        raise ValueError(f"{name} is {value}; give a finite number in [0, {largest}].")


def _mean_over_ranks(rows: Tensor) -> Tensor:
    """Mean over ranks of the number of rows, which are 1 at least over all ranks together."""
    count, num_ranks = sum_over_ranks_(torch.tensor([len(rows), 1], device=rows.device))
    return torch.div(count.clamp(min=1), num_ranks)
