"""What the modules of all ranking losses share: one flat ranking, weights, self-balancing.

Letters: N rows (proposals or anchors of all images), C classes, F foreground rows in row order, G
layers of a decoder.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from rankdet.losses._error_driven import check_settings
from rankdet.losses._inputs import IGNORED, JointInputs, check_joint_inputs, check_layers
from rankdet.losses._pair_sums.interface import StepSums
from rankdet.losses.base import JointLoss

_SMALLEST_LOSS = 1e-3  # Below this value, self-balancing no longer amplifies gradients.
_SMALLEST_WEIGHT_SUM = 1e-10  # As released.


class RankingInputs(NamedTuple):
    """What a ranking loss works on.

    All have G in front, and box losses, too, if they are those of G layers.

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


class RankingLoss(JointLoss):
    """A joint loss that looks at the order of the logits and at nothing else.

    All images, rows and classes of one process are one ranking; processes do not see each other's,
    so that the loss of a batch depends on how many share it. So are those of each layer of a
    decoder; the rankings of all layers are computed at once.
    A foreground row whose IoU is 0 stays a positive. Without foreground all losses are 0.

    A subclass implements :meth:`rank`.

    Args:
        num_classes: C, number of foreground classes; an RPN has 1.
        delta: half width of the step, logits.
        algorithm: see the loss function.

    Raises:
        ValueError: ``delta`` is negative or the loss has no such algorithm.
    """

    algorithms: ClassVar[Mapping[str, type[StepSums]]]
    """What the loss function offers; a subclass says."""

    def __init__(self, num_classes: int, *, delta: float, algorithm: str) -> None:
        super().__init__(num_classes)
        check_settings(delta, algorithm, self.algorithms)
        self.delta = delta
        self.algorithm = algorithm

    @abstractmethod
    def rank(self, x: RankingInputs, box_losses: Tensor) -> dict[str, Tensor]:
        """Penalize one ranking, or each of G, and the boxes of their positives.

        Args:
            x: see :func:`ranking_inputs`.
            box_losses: ``(F,)`` or ``(G, F)``, differentiable.

        Returns:
            Scalars or ``(G,)`` to sum, ``loss_box_reg`` among them, connected to the graph.
        """

    def losses(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses`, and :meth:`rank` for the terms."""
        x = ranking_inputs(logits, labels, ious, box_losses, self.num_classes)
        return self.rank(x, box_losses)

    def losses_of_layers(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses_of_layers`; one call for all."""
        x = ranking_inputs_of_layers(logits, labels, ious, box_losses, self.num_classes)
        return self.rank(x, box_losses)

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
        ious: ``(F,)``; 0 counts as a tiny IoU.
        box_losses: ``(F,)``.
        num_classes: C.

    Returns:
        The inputs, in float32 or wider.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_joint_inputs`.
    """
    x = check_joint_inputs(logits, labels, ious, box_losses, num_classes)
    weights = score_weights(x.logits[x.rows])
    return RankingInputs(x.logits.flatten(), _targets(x).flatten(), weights, x.guard)


def ranking_inputs_of_layers(
    logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor, num_classes: int
) -> RankingInputs:
    """:func:`ranking_inputs` of each layer of a decoder.

    Args:
        logits: ``(G, N, C)``.
        labels: ``(G, N)``, with F foreground rows in every layer.
        ious: ``(G, F)``.
        box_losses: ``(G, F)``.
        num_classes: C.

    Returns:
        G rankings.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_layers`.
    """
    x = check_layers(logits, labels, ious, box_losses, num_classes)
    return RankingInputs(
        logits=x.logits.view(len(logits), -1),
        targets=_targets(x).view(len(logits), -1),
        weights=score_weights(x.logits[x.rows]).view_as(ious),
        guard=x.guard,
    )


def _targets(x: JointInputs) -> Tensor:
    """IoU of a foreground row at its class, or a tiny one, 0 negative, -1 ignored; ``(N, C)``."""
    targets = torch.zeros_like(x.logits).masked_fill_(x.is_ignored.unsqueeze(1), IGNORED)
    tiny = torch.finfo(targets.dtype).tiny
    targets[x.rows, x.classes] = x.ious.nan_to_num().clamp(tiny, 1)
    return targets


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
        losses: ``(F,)`` or ``(G, F)``.
        weights: the same shape, >= 0.

    Returns:
        Scalar or ``(G,)``.
    """
    return (losses * weights).sum(-1) / weights.sum(-1).clamp(min=_SMALLEST_WEIGHT_SUM)


def scale_to(task_loss: Tensor, value: Tensor) -> Tensor:
    """Self-balancing: scale a loss so that it has the value of another, without a host sync.

    Below 1e-3 a loss is scaled as if it were 1e-3: the gradient of GIoU does not vanish with its
    value, so that the released division would blow up on perfect boxes.

    Args:
        task_loss: scalar >= 0, or ``(G,)`` by layer.
        value: the same.

    Returns:
        The same shape: the value is that of ``value``, the gradient goes to ``task_loss`` only.
    """
    return task_loss * (value.detach() / task_loss.detach().clamp(min=_SMALLEST_LOSS))
