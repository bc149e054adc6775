"""Losses of classification and boxes together: their interface and what all of them check.

Letters: N rows (proposals or anchors of all images), C classes, F foreground rows in row order.
"""

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor

from rankdet.losses._inputs import check_inputs, check_num_logits
from rankdet.losses.classification import HeadLoss, independent_scores

IGNORED = -1
"""Label of a row that is neither foreground nor background."""


class JointLoss(HeadLoss):
    """A loss of classification and boxes together, on C logits without background.

    Args:
        num_classes: C, number of foreground classes; an RPN has 1.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, num_logits=num_classes)

    @abstractmethod
    def forward(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Penalise logits and boxes.

        Args:
            logits: ``(N, C)``.
            labels: ``(N,)`` int64 in [0, C]; C is background, -1 an ignored row.
            ious: ``(F,)`` IoU of the currently decoded box of each foreground row and its ground
                truth. No gradient goes through it.
            box_losses: ``(F,)`` losses of the same boxes, differentiable.

        Returns:
            Scalars to sum, ``loss_box_reg`` among them, connected to all inputs.

        Raises:
            ValueError: shapes or labels do not fit; see :func:`joint_inputs`.
        """

    def scores(self, logits: Tensor) -> Tensor:
        """See :func:`rankdet.losses.classification.independent_scores`."""
        return independent_scores(logits)

    def foreground_scores(self, logits: Tensor) -> Tensor:
        """Sigmoids of logits of any shape, without the product over classes of the background."""
        return logits.sigmoid()

    def learned_logits(self, logits: Tensor) -> Tensor:
        """Logits whose sigmoid is what the loss brings to 0 or 1, for rules that judge anchors.

        Args:
            logits: ``(..., C)``.

        Returns:
            ``(..., C)``; the logits themselves but for losses of a surrogate.
        """
        return logits


class JointInputs(NamedTuple):
    """What a joint loss works on.

    Attributes:
        logits: ``(N, C)`` float32 or wider.
        is_ignored: ``(N,)`` bool.
        rows: ``(F,)`` indices of the foreground rows.
        classes: ``(F,)`` their labels in [0, C).
        ious: ``(F,)`` without gradient, of the dtype of the logits.
        guard: scalar 0, or NaN if the input is invalid. Add it to a loss.
    """

    logits: Tensor
    is_ignored: Tensor
    rows: Tensor
    classes: Tensor
    ious: Tensor
    guard: Tensor


def joint_inputs(
    logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor, num_classes: int
) -> JointInputs:
    """Check what a head gives to a joint loss and find its foreground.

    Args:
        logits: ``(N, C)``.
        labels: ``(N,)`` int64 in [0, C]; C is background, -1 an ignored row.
        ious: ``(F,)``.
        box_losses: ``(F,)``.
        num_classes: C.

    Returns:
        The inputs, in float32 or wider.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`, or not one IoU and box loss per
            foreground row.
    """
    check_num_logits(logits, num_classes)
    is_ignored = labels == IGNORED
    x = check_inputs(logits, labels.masked_fill(is_ignored, num_classes), num_classes)
    rows = (x.labels < num_classes).nonzero().squeeze(1)
    for name, values in (("ious", ious), ("box_losses", box_losses)):
        if values.shape != rows.shape:
            raise ValueError(
                f"{name} must have shape ({len(rows)},), one per foreground row of labels, "
                f"got {tuple(values.shape)}; decode the boxes of the foreground rows in order."
            )
    wide_ious = ious.detach().to(x.logits.dtype)
    return JointInputs(
        logits=x.logits,
        is_ignored=is_ignored,
        rows=rows,
        classes=x.labels[rows],
        ious=wide_ious,
        guard=x.guard + (wide_ious * 0.0).sum(),
    )
