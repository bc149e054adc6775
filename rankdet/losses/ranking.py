"""What the modules of all ranking losses share: one flat ranking, weights, self-balancing.

Letters: N rows (proposals or anchors of all images), C classes, F foreground rows in row order.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from rankdet.losses._algorithms import ALL_ALGORITHMS
from rankdet.losses._inputs import check_inputs, check_num_logits
from rankdet.losses._ranking import check_settings
from rankdet.losses.classification import HeadLoss, independent_scores

IGNORED = -1
"""Label of a row that is neither foreground nor background."""

_SMALLEST_LOSS = 1e-3  # Below, self-balancing stops to amplify gradients.
_SMALLEST_WEIGHT_SUM = 1e-10  # As released.


class RankingInputs(NamedTuple):
    """What a ranking loss works on.

    Attributes:
        logits: ``(N C,)``, all rows and classes in one ranking, row by row.
        targets: ``(N C,)``: the IoU of a foreground row at its class, 0 negative, -1 ignored.
        weights: ``(F,)`` score weights of the foreground rows.
        guard: scalar 0, or NaN if the input is invalid. Add it to a loss.
    """

    logits: Tensor
    targets: Tensor
    weights: Tensor
    guard: Tensor


class RankingLoss(HeadLoss):
    """A loss of classification and boxes together, on C logits without background.

    All images, rows and classes of one process are one ranking; processes do not see each other's.

    Args:
        num_classes: C, number of foreground classes; an RPN has 1.
        delta: half width of the step, logits.
        algorithm: see the loss function.

    Raises:
        ValueError: ``delta`` is negative or the loss has no such algorithm.
    """

    algorithms: ClassVar[Mapping[str, Any]] = ALL_ALGORITHMS
    """What the loss function offers."""

    def __init__(self, num_classes: int, *, delta: float, algorithm: str) -> None:
        super().__init__(num_classes, num_logits=num_classes)
        check_settings(delta, algorithm, self.algorithms)
        self.delta = delta
        self.algorithm = algorithm

    @abstractmethod
    def forward(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Penalise logits and boxes.

        Args:
            logits: ``(N, C)``.
            labels: ``(N,)`` int64 in [0, C]; C is background, -1 an ignored row.
            ious: ``(F,)`` IoU of the currently decoded box of each foreground row and its ground
                truth. No gradient goes through it. 0 counts as a tiny IoU: the row stays a
                positive.
            box_losses: ``(F,)`` GIoU losses of the same boxes, differentiable.

        Returns:
            Scalars to sum, ``loss_box_reg`` among them; 0 and connected to all inputs without
            foreground.

        Raises:
            ValueError: shapes or labels do not fit; see :func:`ranking_inputs`.
        """

    def scores(self, logits: Tensor) -> Tensor:
        """See :func:`rankdet.losses.classification.independent_scores`."""
        return independent_scores(logits)

    def balance(self, task_loss: Tensor, losses: Mapping[str, Tensor]) -> Tensor:
        """Weigh the loss of a further task, such as masks, against this one.

        Args:
            task_loss: scalar.
            losses: what :meth:`forward` returned.

        Returns:
            Scalar; unchanged where the paper of the loss gives no rule.
        """
        return task_loss

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"{super().extra_repr()}, delta={self.delta}, algorithm={self.algorithm!r}"


def ranking_inputs(
    logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor, num_classes: int
) -> RankingInputs:
    """Check what a head gives and put all rows and classes into one ranking.

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
    foreground = (x.labels < num_classes).nonzero().squeeze(1)
    for name, values in (("ious", ious), ("box_losses", box_losses)):
        if values.shape != foreground.shape:
            raise ValueError(
                f"{name} must have shape ({len(foreground)},), one per foreground row of labels, "
                f"got {tuple(values.shape)}; decode the boxes of the foreground rows in order."
            )
    targets = torch.zeros_like(x.logits).masked_fill_(is_ignored.unsqueeze(1), IGNORED)
    labelled, tiny = ious.detach().to(targets.dtype), torch.finfo(targets.dtype).tiny
    targets[foreground, x.labels[foreground]] = labelled.nan_to_num().clamp(tiny, 1)
    return RankingInputs(
        logits=x.logits.flatten(),
        targets=targets.flatten(),
        weights=score_weights(x.logits[foreground]),
        guard=x.guard + (labelled * 0.0).sum(),
    )


def score_weights(logits: Tensor) -> Tensor:
    """How much the boxes and masks of rows count: their largest score, without gradient.

    Source: the released RS and bucketed losses.

    Args:
        logits: ``(N, C)``.

    Returns:
        ``(N,)`` in [0, 1], float32 or wider.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.detach().amax(dim=1).sigmoid()


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Mean of losses by their weights; 0 and connected to the graph if there are none.

    Args:
        losses: ``(F,)``.
        weights: ``(F,)`` >= 0.

    Returns:
        Scalar.
    """
    return (losses * weights).sum() / weights.sum().clamp(min=_SMALLEST_WEIGHT_SUM)


def scale_to(task_loss: Tensor, value: Tensor) -> Tensor:
    """Self-balancing: scale a loss so that it has the value of another, without a host sync.

    Below 1e-3 a loss is scaled as if it were 1e-3: the gradient of GIoU does not vanish with its
    value, so that the released division would blow up on perfect boxes.

    Args:
        task_loss: scalar >= 0.
        value: scalar >= 0.

    Returns:
        Scalar whose value is that of ``value`` and whose gradient goes to ``task_loss`` only.
    """
    return task_loss * (value.detach() / task_loss.detach().clamp(min=_SMALLEST_LOSS))
