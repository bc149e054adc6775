"""Focal loss and its forms that learn the IoU, for dense detectors."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses.dense import DenseLoss, check_weight


class FocalLoss(DenseLoss):
    """Cross-entropy that fades where the score is right.

    -alpha (1 - p)^gamma log p of a positive, -(1 - alpha) p^gamma log(1 - p) of a negative.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 5.

    Args:
        num_classes: C, number of foreground classes.
        alpha: weight of the positives, in [0, 1].
        gamma: exponent of the modulator, >= 0.
        box_weight: weight of the box loss against classification.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        box_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, box_weight=box_weight)
        check_weight("alpha", alpha, 1)
        check_weight("gamma", gamma)
        self.alpha = alpha
        self.gamma = gamma

    def negatives(self, logits: Tensor) -> Tensor:
        """See :meth:`DenseLoss.negatives`."""
        return (1 - self.alpha) * logits.sigmoid().pow(self.gamma) * F.softplus(logits)

    def positives(self, logits: Tensor, classes: Tensor, ious: Tensor) -> Tensor:
        """See :meth:`DenseLoss.positives`; the IoU has no influence."""
        return self.alpha * (-logits).sigmoid().pow(self.gamma) * F.softplus(-logits)
