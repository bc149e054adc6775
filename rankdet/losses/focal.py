"""Focal loss, and its forms that learn the IoU as score, for dense detectors."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._focal_base import DenseLoss, Surrogate, SurrogateScore, softplus
from rankdet.losses._inputs import check_range


class FocalLoss(DenseLoss):
    """Cross-entropy that fades where the score p is right already.

    A positive costs -alpha (1 - p)^gamma log p, a negative -(1 - alpha) p^gamma log(1 - p).

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 5. In torchvision
    as ``sigmoid_focal_loss``, with the same values.

    Args:
        num_classes: C, number of foreground classes.
        alpha: weight of the positives, in [0, 1].
        gamma: exponent of the modulator, >= 0.
        box_weight: weight of the box loss against classification.
        surrogate: what the loss takes in place of logits, such as
            :class:`rankdet.losses.ecm_surrogate.ECMSurrogate`. None: them.

    Raises:
        ValueError: a setting is out of its range, or ``surrogate`` is for other classes.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        box_weight: float = 1.0,
        surrogate: SurrogateScore | None = None,
    ) -> None:
        check_range("alpha", alpha, 0, 1)
        super().__init__(
            num_classes,
            gamma=gamma,
            negative_weight=1 - alpha,
            box_weight=box_weight,
            surrogate=surrogate,
        )
        self.alpha = alpha

    def positives(self, x: Surrogate, ious: Tensor) -> Tensor:
        """See :meth:`DenseLoss.positives`; IoUs have no influence."""
        return self.alpha * _power(-x.modulator, self.gamma) * softplus(-x.logits)

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"{super().extra_repr()}, alpha={self.alpha}"


class VarifocalLoss(DenseLoss):
    """Cross-entropy with the IoU q as target and weight; negatives fade as in focal loss.

    A positive costs -q (q log p + (1 - q) log(1 - p)), a negative -alpha p^gamma log(1 - p). A
    positive whose IoU is 0 counts as a negative.

    Source: Zhang et al., "VarifocalNet: An IoU-aware Dense Object Detector", CVPR 2021, eq. 2.

    Args:
        num_classes: C, number of foreground classes.
        alpha: weight of the negatives, >= 0.
        gamma: exponent of the modulator, >= 0.
        box_weight: weight of the box loss against classification.
        surrogate: what the loss takes in place of logits, such as
            :class:`rankdet.losses.ecm_surrogate.ECMSurrogate`. None: them.

    Raises:
        ValueError: a setting is out of its range, or ``surrogate`` is for other classes.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.75,
        gamma: float = 2.0,
        box_weight: float = 1.0,
        surrogate: SurrogateScore | None = None,
    ) -> None:
        check_range("alpha", alpha, 0)
        super().__init__(
            num_classes,
            gamma=gamma,
            negative_weight=alpha,
            box_weight=box_weight,
            surrogate=surrogate,
        )
        self.alpha = alpha

    def positives(self, x: Surrogate, ious: Tensor) -> Tensor:
        """See :meth:`DenseLoss.positives`."""
        as_negatives = self.alpha * _power(x.modulator, self.gamma) * softplus(x.logits)
        return torch.where(ious > 0, ious * _cross_entropy(x.logits, ious), as_negatives)

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"{super().extra_repr()}, alpha={self.alpha}"


class QualityFocalLoss(DenseLoss):
    """Focal loss with the IoU q as target: |q - p|^beta times the cross-entropy of p and q.

    q is 0 for negatives.

    Source: Li et al., "Generalized Focal Loss", NeurIPS 2020, eq. 3.

    Args:
        num_classes: C, number of foreground classes.
        beta: exponent of the modulator, >= 1: below, the gradient is infinite at p = q.
        box_weight: weight of the box loss against classification.
        surrogate: what the loss takes in place of logits, such as
            :class:`rankdet.losses.ecm_surrogate.ECMSurrogate`. None: them.

    Raises:
        ValueError: a setting is out of its range, or ``surrogate`` is for other classes.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        beta: float = 2.0,
        box_weight: float = 1.0,
        surrogate: SurrogateScore | None = None,
    ) -> None:
        check_range("beta", beta, 1)
        super().__init__(
            num_classes,
            gamma=beta,
            negative_weight=1.0,
            box_weight=box_weight,
            surrogate=surrogate,
        )

    def positives(self, x: Surrogate, ious: Tensor) -> Tensor:
        """See :meth:`DenseLoss.positives`."""
        distance = (ious - x.modulator.sigmoid()).abs()
        return distance.pow(self.gamma) * _cross_entropy(x.logits, ious)


def _power(logits: Tensor, exponent: float) -> Tensor:
    """sigmoid(x)^exponent with a finite gradient also where the sigmoid rounds to 0."""
    return (exponent * F.logsigmoid(logits)).exp()


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
