"""The seam between a head and its loss: what a head asks, and what a loss answers.

Letters: N rows (proposals or anchors of all images), C foreground classes, L logits, F foreground
rows in row order.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rankdet.losses._inputs import IGNORED, CheckedInputs


class HeadLoss(nn.Module, ABC):
    """A loss that fixes how many logits a head predicts and how they become scores.

    In every training iteration a head calls :meth:`observe` once, then :meth:`losses`. A subclass
    implements :meth:`losses` and :meth:`scores`.

    Args:
        num_classes: C, number of foreground classes, >= 1; an RPN has 1.
        num_logits: L, columns of the logits.

    Raises:
        ValueError: ``num_classes`` is not positive.
    """

    def __init__(self, num_classes: int, num_logits: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; a detector needs at least one class.")
        self.num_classes = num_classes
        self.num_logits = num_logits

    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Learn the statistics of a batch; call it once per batch, on every rank, before the loss.

        This is the only place where a loss changes what it has learned. Most losses learn nothing.

        Args:
            logits: ``(N, L)``; those of the last step if a head predicts several times.
            labels: ``(N,)`` int64. What is not in [0, C] counts for nothing.
        """

    @abstractmethod
    def losses(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Penalize logits and boxes.

        Args:
            logits: ``(N, L)``.
            labels: ``(N,)`` int64 in [0, C]; C is background, -1 an ignored row.
            ious: ``(F,)`` IoU of the currently decoded box of each foreground row and its ground
                truth. No gradient goes through it.
            box_losses: ``(F,)`` losses of the same boxes, differentiable.

        Returns:
            Scalars to sum, ``loss_box_reg`` among them, connected to the graph.

        Raises:
            ValueError: shapes or labels do not fit.
        """

    def losses_of_step(
        self,
        step: int,
        num_steps: int,
        logits: Tensor,
        labels: Tensor,
        ious: Tensor,
        box_losses: Tensor,
    ) -> dict[str, Tensor]:
        """:meth:`losses` in one step of a head that predicts several times for the same rows.

        Args:
            step: in [0, ``num_steps``).
            num_steps: how often the head predicts.
            logits: see :meth:`losses`, like the other arguments.
            labels: see there.
            ious: see there.
            box_losses: see there.

        Returns:
            As :meth:`losses`; most losses are the same in every step.
        """
        return self.losses(logits, labels, ious, box_losses)

    def losses_of_layers(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """:meth:`losses` of each layer of a decoder, which has matches of its own.

        Args:
            logits: ``(G, N, L)`` of G >= 1 layers.
            labels: ``(G, N)`` int64. Every layer has the same number F of foreground rows.
            ious: ``(G, F)``.
            box_losses: ``(G, F)``.

        Returns:
            ``(G,)`` by name: what :meth:`losses` gives for each layer alone.

        Raises:
            ValueError: see :meth:`losses`.
        """
        layers = [self.losses(*x) for x in zip(logits, labels, ious, box_losses, strict=True)]
        return {name: torch.stack([layer[name] for layer in layers]) for name in layers[0]}

    def balance(self, task_loss: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """Weigh the loss of a further task, such as masks, against this one.

        Args:
            task_loss: scalar, or ``(G,)`` by layer.
            losses: what :meth:`losses` returned, or :meth:`losses_of_layers`.

        Returns:
            Of the shape of ``task_loss``; unchanged where the paper of the loss gives no rule.
        """
        return task_loss

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits into detection scores.

        Args:
            logits: ``(N, L)``.

        Returns:
            ``(N, C + 1)`` in [0, 1]; the last column is background.
        """

    def foreground_scores(self, logits: Tensor) -> Tensor:
        """Scores of the C classes alone.

        Args:
            logits: ``(N, L)``.

        Returns:
            ``(N, C)`` in [0, 1].
        """
        return self.scores(logits)[:, : self.num_classes]

    def learned_logits(self, logits: Tensor) -> Tensor:
        """Logits of the classes by which PAA judges anchors: one-vs-all losses learn their sigmoid.

        Args:
            logits: ``(..., L)``.

        Returns:
            ``(..., C)``; the logits themselves, except for losses with a surrogate score.
        """
        return logits[..., : self.num_classes]

    def initial_logits(self, prior_prob: float) -> Tensor:
        """Logits of a head that knows nothing, to start its bias from.

        Args:
            prior_prob: probability of each foreground class in the terms of the loss, in (0, 1).

        Returns:
            ``(L,)``: the logit of that probability, and 0 for a background logit.

        Raises:
            ValueError: ``prior_prob`` is no probability.
        """
        if not 0 < prior_prob < 1:
            raise ValueError(f"prior_prob is {prior_prob}; give a probability in (0, 1) or None.")
        logits = torch.zeros(self.num_logits, device="cpu")
        logits[: self.num_classes] = math.log(prior_prob / (1 - prior_prob))
        return logits

    def statistics(self) -> dict[str, Tensor]:
        """Scalars to log with the losses, by name."""
        return {}

    def extra_repr(self) -> str:
        """Show the sizes when the model is printed."""
        return f"num_classes={self.num_classes}, num_logits={self.num_logits}"


class ClassificationLoss(HeadLoss):
    """A loss of logits and labels alone; a subclass implements ``forward`` and ``scores``.

    Boxes are summed and divided by the number of rows, as in Fast R-CNN.
    """

    @abstractmethod
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Penalize the logits. A call changes no statistics; see :meth:`HeadLoss.observe`.

        Args:
            logits: ``(N, L)``.
            labels: ``(N,)`` int64 in [0, C]; C is background.

        Returns:
            Scalar, mean over the N rows; 0 and connected to the graph if N = 0.
        """

    def losses(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """``loss_cls``, the loss of all rows that are not ignored, and ``loss_box_reg``."""
        return self._losses_by(self, logits, labels, box_losses)

    def _losses_by(
        self,
        classify: Callable[[Tensor, Tensor], Tensor],
        logits: Tensor,
        labels: Tensor,
        box_losses: Tensor,
    ) -> dict[str, Tensor]:
        """:meth:`losses` by another function than ``forward``. To pick rows is a host sync."""
        rows = (labels != IGNORED).nonzero().squeeze(1)
        box_loss = box_losses.sum() / max(len(rows), 1)
        return {"loss_cls": classify(logits[rows], labels[rows]), "loss_box_reg": box_loss}


class SoftTargetLoss(ClassificationLoss):
    """A classification loss whose foreground part takes soft targets, too: what PCB can wrap."""

    has_exclusive_classes: bool
    """Whether the foreground probabilities of a row sum to 1 (softmax). If each class has its own
    classifier (sigmoid), PCB does not normalize its targets (section 3.3)."""

    @abstractmethod
    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Probabilities of the foreground classes, background aside.

        Args:
            logits: ``(N, L)``, float32 or wider.

        Returns:
            ``(N, C)`` in [0, 1].
        """

    @abstractmethod
    def mix(self, x: CheckedInputs, targets: Tensor, weights: Tensor) -> Tensor:
        """The loss with soft targets in the place of part of its labels.

        Where all weights are 0, the value and the gradient are those of ``forward``.

        Args:
            x: logits ``(N, L)`` and labels ``(N,)``.
            targets: ``(N, C)`` in [0, 1], without gradient.
            weights: ``(N,)`` in [0, 1], share of the soft target in each row; 0 for background.

        Returns:
            Scalar, mean over the N rows; 0 and connected to the graph if N = 0.
        """


class JointLoss(HeadLoss):
    """A loss of classification and boxes together, on C one-vs-all logits without background.

    Args:
        num_classes: C, number of foreground classes; an RPN has 1.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, num_logits=num_classes)

    def forward(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses`."""
        return self.losses(logits, labels, ious, box_losses)

    def scores(self, logits: Tensor) -> Tensor:
        """See :func:`independent_scores`."""
        return independent_scores(logits)

    def foreground_scores(self, logits: Tensor) -> Tensor:
        """Sigmoids of logits of any shape, without the product over classes of the background."""
        return logits.sigmoid()


def independent_scores(logits: Tensor) -> Tensor:
    """Scores of one-vs-all classifiers that have no background logit.

    Args:
        logits: ``(N, C)``.

    Returns:
        ``(N, C + 1)``: the sigmoid of each logit, and the probability that no class is present
        when the classes are independent.
    """
    scores = logits.sigmoid()
    return torch.cat([scores, (1 - scores).prod(dim=1, keepdim=True)], dim=1)
