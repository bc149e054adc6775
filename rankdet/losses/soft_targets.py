"""Losses that can be taught soft targets of the foreground classes: what PCB can wrap."""

from abc import abstractmethod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._inputs import check_inputs, check_num_logits
from rankdet.losses._seesaw_soft import seesaw_soft_losses
from rankdet.losses.classification import ClassificationLoss
from rankdet.losses.eql import EQLv2Loss
from rankdet.losses.seesaw import SeesawLoss, seesaw_log_factors
from rankdet.losses.sigmoid import one_hot
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss


class SoftTargetLoss(ClassificationLoss):
    """A classification loss whose foreground part takes soft targets, too.

    A subclass adds :meth:`foreground_probs` and :meth:`mix`, and sets ``has_exclusive_classes``:
    True where the foreground probabilities of a sample sum to 1 (softmax), False where each class
    has a classifier of its own (sigmoid), whose targets PCB does not normalise (section 3.3).
    """

    has_exclusive_classes: bool

    @abstractmethod
    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Probabilities of the foreground classes, background aside.

        Args:
            logits: ``(N, num_logits)``.

        Returns:
            ``(N, C)`` in [0, 1], float32 or wider.
        """

    @abstractmethod
    def mix(self, logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The loss with soft targets in the place of part of its labels.

        Statistics of the loss are updated as by ``forward``; where all weights are 0, the value
        and the gradient are ``forward``'s.

        Args:
            logits: ``(N, num_logits)``.
            labels: ``(N,)`` int64 in [0, C]; C is background.
            targets: ``(N, C)`` in [0, 1], without gradient.
            weights: ``(N,)`` in [0, 1], share of the soft target in each sample; 0 for background.

        Returns:
            Scalar, mean over the N samples; 0 and connected to the graph if N = 0.
        """


class SoftTargetSoftmaxLoss(SoftmaxCrossEntropyLoss, SoftTargetLoss):
    """Softmax cross-entropy that takes soft targets.

    Source: PCB eqs. 1, 10 and 11. The soft part is cross-entropy over the C foreground logits alone
    (eq. 10); the released code keeps background in the softmax, with target 0, and subtracts the
    targets' entropy (KL divergence), which has no gradient and is left out here.

    Args:
        num_classes: C, number of foreground classes.
        background_in_soft_part: the code's softmax over C + 1 logits.
    """

    has_exclusive_classes = True

    def __init__(self, num_classes: int, background_in_soft_part: bool = False) -> None:
        super().__init__(num_classes)
        self.background_in_soft_part = background_in_soft_part

    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Softmax over the C foreground logits (PCB eq. 1)."""
        return torch.softmax(logits[:, : self.num_classes], dim=1)

    def mix(self, logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """See :meth:`SoftTargetLoss.mix`."""
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        num_soft = self.num_logits if self.background_in_soft_part else self.num_classes
        log_probs = torch.log_softmax(x.logits[:, :num_soft], dim=1)[:, : self.num_classes]
        soft = -(targets * log_probs).sum(dim=1)
        hard = F.cross_entropy(x.logits, x.labels, reduction="none")
        return torch.lerp(hard, soft, weights).sum() / max(len(x.labels), 1) + x.guard


class SoftTargetEQLv2Loss(EQLv2Loss, SoftTargetLoss):
    """EQL v2 that takes soft targets.

    Source: PCB eqs. 13 to 15: the weight w_i of a class is that of the label in both parts, so that
    they are one binary cross-entropy of the mixed target; background's logit keeps its label. The
    gradients are collected with the labels. Section 3.3 leaves the targets without normalisation,
    as does the released code; the appendix's eq. 14 prints the normalised ones.

    Args:
        num_classes: C, number of foreground classes.
        gamma: see :class:`EQLv2Loss`.
        mu: likewise.
        alpha: likewise.
        weighs_mixed_targets: the code's rule: the mixed target sets the weights, and the gradients
            are collected with it (:meth:`EQLv2Loss.total`).
    """

    has_exclusive_classes = False

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        weighs_mixed_targets: bool = False,
    ) -> None:
        super().__init__(num_classes, gamma=gamma, mu=mu, alpha=alpha)
        self.weighs_mixed_targets = weighs_mixed_targets

    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Sigmoid of the C foreground logits."""
        return logits[:, : self.num_classes].sigmoid()

    def mix(self, logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """See :meth:`SoftTargetLoss.mix`."""
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        hard = one_hot(x.labels, x.logits)
        classes = torch.lerp(hard[:, :-1], targets, weights.unsqueeze(1))
        mixed = torch.cat([classes, hard[:, -1:]], dim=1)
        if self.weighs_mixed_targets:
            total = self.total(x.logits, mixed)
        else:
            total = self._total_of_labels(x.logits, hard, mixed)
        return total / max(len(x.labels), 1) + x.guard

    def _total_of_labels(self, logits: Tensor, hard: Tensor, mixed: Tensor) -> Tensor:
        """Sum of the losses of the mixed targets by the weights of the labels."""
        weights = self.weights(hard)
        total = F.binary_cross_entropy_with_logits(logits, mixed, weight=weights, reduction="sum")
        if self.is_learning:
            self._collect(logits[:, :-1], hard[:, :-1], weights[:, :-1])
        return total


class SoftTargetSeesawLoss(SeesawLoss, SoftTargetLoss):
    """Seesaw loss that takes soft targets.

    Source: PCB eqs. 16 to 18: each class i of the target has its own factors S_ij; objectness keeps
    its labels. The released code takes the label's factors S_yj for all of them, and leaves those
    in the numerator.

    Args:
        num_classes: C, number of foreground classes.
        p: see :class:`SeesawLoss`.
        q: likewise.
        eps: likewise, > 0.
        sync_counts: likewise.
        has_factors_of_label: the code's rule.

    Raises:
        ValueError: see :class:`SeesawLoss`, or ``eps`` is 0.
    """

    has_exclusive_classes = True

    def __init__(
        self,
        num_classes: int,
        *,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 0.01,
        sync_counts: bool = True,
        has_factors_of_label: bool = False,
    ) -> None:
        super().__init__(num_classes, p=p, q=q, eps=eps, sync_counts=sync_counts)
        if eps == 0:
            raise ValueError("eps is 0; soft targets need eps > 0 to bound the compensation.")
        self.has_factors_of_label = has_factors_of_label

    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Plain softmax over the C class logits (PCB eq. 1), as at test."""
        return torch.softmax(logits[:, : self.num_classes], dim=1)

    def mix(self, logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """See :meth:`SoftTargetLoss.mix`."""
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        if self.is_learning:
            self._count(x.labels)
        classes, objectness = x.logits[:, : self.num_classes], x.logits[:, self.num_classes :]
        hard, soft = self._class_losses(classes, x.labels, targets)
        is_background = (x.labels == self.num_classes).long()
        total = torch.lerp(hard, soft, weights).sum()
        total = total + F.cross_entropy(objectness, is_background, reduction="sum")
        return total / max(len(x.labels), 1) + x.guard

    def _class_losses(
        self, logits: Tensor, labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of each sample ``(N,)``: the loss of its label (0 for background), and of its target."""
        strengths = {"p": self.p, "q": self.q, "eps": self.eps}
        factors = seesaw_log_factors(logits, labels, self.class_counts, **strengths)
        log_probs = torch.log_softmax(logits + factors, dim=1)
        hard = F.nll_loss(log_probs, labels, ignore_index=self.num_classes, reduction="none")
        if self.has_factors_of_label:
            return hard, -(targets * log_probs).sum(dim=1)
        return hard, seesaw_soft_losses(logits, targets, self.class_counts, **strengths)
