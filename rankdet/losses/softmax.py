"""Softmax cross-entropy, the loss of Fast R-CNN."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._inputs import CheckedInputs, check_inputs, check_num_logits
from rankdet.losses.base import SoftTargetLoss


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Penalize a low softmax probability of the label.

    Source: Girshick, Fast R-CNN, 2015, section 2.3.

    Args:
        logits: ``(N, C + 1)``, any real; the last column is background.
        labels: ``(N,)`` int64 in [0, C].

    Returns:
        Scalar >= 0, mean over N; 0 and connected to the graph if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.

    Example:
        >>> logits = torch.zeros(1, 3, requires_grad=True)
        >>> loss = softmax_cross_entropy(logits, torch.tensor([0]))
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(1.0986, grad_fn=<AddBackward0>) tensor([[-0.6667,  0.3333,  0.3333]])
    """
    x = check_inputs(logits, labels, num_classes=logits.shape[-1] - 1)
    total = F.cross_entropy(x.logits, x.labels, reduction="sum")
    return total / max(len(x.labels), 1) + x.guard


def mixed_cross_entropy(
    x: CheckedInputs, targets: Tensor, weights: Tensor, num_soft: int
) -> Tensor:
    """Cross-entropy with soft targets of the foreground classes in the place of part of the labels.

    Args:
        x: logits ``(N, C + 1)`` and labels ``(N,)``.
        targets: ``(N, C)`` in [0, 1], without gradient.
        weights: ``(N,)`` in [0, 1], share of the soft target in each row.
        num_soft: how many logits, from the first, are in the softmax of the soft part: C or C + 1.

    Returns:
        Scalar >= 0, mean over N; 0 and connected to the graph if N = 0.
    """
    log_probs = torch.log_softmax(x.logits[:, :num_soft], dim=1)[:, : targets.shape[1]]
    soft = -(targets * log_probs).sum(dim=1)
    hard = F.cross_entropy(x.logits, x.labels, reduction="none")
    return torch.lerp(hard, soft, weights).sum() / max(len(x.labels), 1) + x.guard


class SoftmaxCrossEntropyLoss(SoftTargetLoss):
    """Module of :func:`softmax_cross_entropy`: C + 1 logits, softmax scores.

    Args:
        num_classes: C, number of foreground classes.
    """

    has_exclusive_classes = True

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, num_logits=num_classes + 1)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`softmax_cross_entropy`."""
        check_num_logits(logits, self.num_logits)
        return softmax_cross_entropy(logits, labels)

    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Softmax over the C foreground logits (PCB eq. 1)."""
        return torch.softmax(logits[:, : self.num_classes], dim=1)

    def mix(self, x: CheckedInputs, targets: Tensor, weights: Tensor) -> Tensor:
        """See :meth:`SoftTargetLoss.mix`.

        Source: PCB eqs. 1, 10 and 11. The soft part is cross-entropy over the C foreground logits
        alone (eq. 10); the released code keeps background in the softmax, with target 0, and
        subtracts the targets' entropy (KL divergence), which has no gradient and is left out here.
        """
        return mixed_cross_entropy(x, targets, weights, num_soft=self.num_classes)

    def scores(self, logits: Tensor) -> Tensor:
        """``(N, C + 1)`` softmax probabilities, background last."""
        return torch.softmax(logits, dim=1)
