"""Sigmoid binary cross-entropy: one classifier per class, no background logit."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._inputs import check_inputs, check_num_logits, one_hot
from rankdet.losses.base import ClassificationLoss, independent_scores


def sigmoid_bce_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Penalize every class's sigmoid against "is it this class?", summed over classes.

    Detectron2's ``use_sigmoid_ce`` has the same value, but carries an unused background logit.

    Args:
        logits: ``(N, C)``, any real.
        labels: ``(N,)`` int64 in [0, C]; C is background.

    Returns:
        Scalar >= 0: sum over classes, mean over N; 0 and connected to the graph if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.

    Example:
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> loss = sigmoid_bce_loss(logits, torch.tensor([0]))
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(1.3863, grad_fn=<AddBackward0>) tensor([[-0.5000,  0.5000]])
    """
    x = check_inputs(logits, labels, num_classes=logits.shape[-1])
    total = F.binary_cross_entropy_with_logits(
        x.logits, one_hot(x.labels, x.logits), reduction="sum"
    )
    return total / max(len(x.labels), 1) + x.guard


class SigmoidBCELoss(ClassificationLoss):
    """Module of :func:`sigmoid_bce_loss`: C logits, sigmoid scores.

    Args:
        num_classes: C, number of foreground classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, num_logits=num_classes)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`sigmoid_bce_loss`."""
        check_num_logits(logits, self.num_logits)
        return sigmoid_bce_loss(logits, labels)

    def scores(self, logits: Tensor) -> Tensor:
        """See :func:`rankdet.losses.base.independent_scores`."""
        return independent_scores(logits)
