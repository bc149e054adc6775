"""Softmax cross-entropy, the loss of Fast R-CNN."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._inputs import check_inputs, check_num_logits
from rankdet.losses.classification import ClassificationLoss


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Penalise a low softmax probability of the label.

    Source: Girshick, Fast R-CNN, 2015, section 2.3.

    Args:
        logits: ``(N, C + 1)``, any real; the last column is background.
        labels: ``(N,)`` int64 in [0, C].

    Returns:
        Scalar >= 0, mean over N; 0 and connected to the graph if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.
    """
    x = check_inputs(logits, labels, num_classes=logits.shape[-1] - 1)
    total = F.cross_entropy(x.logits, x.labels, reduction="sum")
    return total / max(len(x.labels), 1) + x.guard


class SoftmaxCrossEntropyLoss(ClassificationLoss):
    """Module of :func:`softmax_cross_entropy`: C + 1 logits, softmax scores.

    Args:
        num_classes: C, number of foreground classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, num_logits=num_classes + 1)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`softmax_cross_entropy`."""
        check_num_logits(logits, self.num_logits)
        return softmax_cross_entropy(logits, labels)

    def scores(self, logits: Tensor) -> Tensor:
        """``(N, C + 1)`` softmax probabilities, background last."""
        return torch.softmax(logits, dim=1)
