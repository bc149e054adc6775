"""Federated loss: sigmoid BCE on the classes of the batch and a random sample of the others."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._class_counts import check_counts
from rankdet.losses._inputs import check_inputs, check_num_logits, one_hot
from rankdet.losses.base import ClassificationLoss, independent_scores


def sample_federated_classes(labels: Tensor, class_weights: Tensor, num_sampled: int) -> Tensor:
    """Draw the classes that a federated loss keeps.

    Every label of the batch is kept (background counts as one of them, as in Detectron2); the rest
    up to ``num_sampled`` is drawn without replacement, with probability proportional to
    ``class_weights``. Where fewer classes can be drawn than asked for, all of them are kept: on a
    data set of fewer classes the loss becomes sigmoid BCE (Detectron2 raises there).

    Draws by the largest Gumbel-perturbed log weights, which has the distribution of
    ``torch.multinomial`` but a fixed size, so that nothing has to be read back from the device.

    Args:
        labels: ``(N,)`` int64 in [0, C]; C is background.
        class_weights: ``(C,)`` >= 0; a class of weight 0 is never drawn.
        num_sampled: number of classes to keep, including those of the batch.

    Returns:
        ``(C,)`` bool, the foreground classes to keep.
    """
    num_classes = len(class_weights)
    present = labels.new_zeros(num_classes + 1, dtype=torch.bool)
    present[labels] = True
    gumbel = -torch.empty_like(class_weights).exponential_().log()
    keys = torch.cat([class_weights.log() + gumbel, gumbel.new_full((1,), -torch.inf)])
    keys = keys.masked_fill(present, torch.inf)
    drawn = keys.topk(min(num_sampled, num_classes + 1)).indices
    kept = torch.zeros_like(present).scatter_(0, drawn, True) & (keys > -torch.inf)
    return (kept | present)[:num_classes]


def federated_loss(logits: Tensor, labels: Tensor, kept_classes: Tensor) -> Tensor:
    """Sigmoid binary cross-entropy over some of the classes.

    Source: Zhou et al., Probabilistic two-stage detection, 2021; Detectron2's ``use_fed_loss``.

    Args:
        logits: ``(N, C)``, any real.
        labels: ``(N,)`` int64 in [0, C]; C is background.
        kept_classes: ``(C,)`` bool from :func:`sample_federated_classes`.

    Returns:
        Scalar >= 0: sum over the kept classes, mean over N; 0 and connected if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.

    Example:
        >>> logits = torch.zeros(1, 3, requires_grad=True)
        >>> loss = federated_loss(logits, torch.tensor([0]), torch.tensor([True, True, False]))
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(1.3863, grad_fn=<AddBackward0>) tensor([[-0.5000,  0.5000,  0.0000]])
    """
    x = check_inputs(logits, labels, num_classes=logits.shape[-1])
    total = F.binary_cross_entropy_with_logits(
        x.logits,
        one_hot(x.labels, x.logits),
        weight=kept_classes.to(x.logits.dtype),
        reduction="sum",
    )
    return total / max(len(x.labels), 1) + x.guard


class FederatedLoss(ClassificationLoss):
    """Module of :func:`federated_loss` with a new class sample in every call.

    Args:
        image_counts: ``(C,)`` training images per class, from ``class_counts(...).images``. A class
            without training images is never drawn as a negative.
        num_sampled_classes: classes kept per call and process, 50 as in Detectron2.
        power: classes are drawn in proportion to ``image_counts ** power``; 0.5 as in Detectron2.

    Raises:
        ValueError: a count is negative or ``num_sampled_classes`` is not positive.
    """

    class_weights: Tensor

    def __init__(
        self,
        image_counts: Tensor | Sequence[float],
        num_sampled_classes: int = 50,
        power: float = 0.5,
    ) -> None:
        counts = check_counts("image_counts", image_counts)
        super().__init__(len(counts), num_logits=len(counts))
        if num_sampled_classes < 1:
            raise ValueError(f"num_sampled_classes is {num_sampled_classes}; keep at least 1.")
        self.num_sampled_classes = num_sampled_classes
        weights = torch.where(counts > 0, counts**power, 0.0)
        self.register_buffer("class_weights", weights.float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`federated_loss`."""
        check_num_logits(logits, self.num_logits)
        safe_labels = check_inputs(logits, labels, self.num_classes).labels
        kept = sample_federated_classes(safe_labels, self.class_weights, self.num_sampled_classes)
        return federated_loss(logits, labels, kept)

    def scores(self, logits: Tensor) -> Tensor:
        """See :func:`rankdet.losses.base.independent_scores`."""
        return independent_scores(logits)
