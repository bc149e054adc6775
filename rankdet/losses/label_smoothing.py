"""Softmax cross-entropy with smoothed labels, fixed or learnt: what PCB's table 4 compares with.

Background is left out of both, as it is of PCB.
"""

import torch
from torch import Tensor

from rankdet.losses._inputs import check_epoch_length, check_inputs, check_num_logits
from rankdet.losses.confusion import class_sums
from rankdet.losses.soft_targets import SoftTargetSoftmaxLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss


class LabelSmoothingLoss(SoftmaxCrossEntropyLoss):
    """Softmax cross-entropy that gives part of each foreground label to all foreground classes.

    The target of a foreground sample of class y is (1 - eps) at y plus eps / C at each of the C
    foreground classes, y included, and 0 at background. A background sample keeps its label. Both
    are in one softmax over C + 1 logits.

    Source: Mueller et al., When does label smoothing help?, NeurIPS 2019, section 2, with K = C.
    PCB (He et al., CVPR 2022, table 4) compares with it, and says neither eps nor what becomes of
    background.

    Args:
        num_classes: C, number of foreground classes.
        eps: share of the label that is spread, in [0, 1].

    Raises:
        ValueError: ``num_classes`` is not positive, or ``eps`` is not in [0, 1].
    """

    def __init__(self, num_classes: int, eps: float = 0.1) -> None:
        super().__init__(num_classes)
        if not 0 <= eps <= 1:
            raise ValueError(f"eps is {eps}; it is the share of the soft label, in [0, 1].")
        self.eps = eps
        self.mixture = SoftTargetSoftmaxLoss(num_classes, background_in_soft_part=True)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`ClassificationLoss.forward`."""
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        weights = self.eps * (x.labels < self.num_classes).to(x.logits.dtype)
        targets = self.soft_targets(x.labels).to(x.logits.dtype)
        return self.mixture.mix(logits, labels, targets, weights)

    def soft_targets(self, labels: Tensor) -> Tensor:
        """What ``eps`` of each label becomes.

        Args:
            labels: ``(N,)`` int64 in [0, C]; rows of background, C, mean nothing.

        Returns:
            ``(N, C)``, rows sum to 1.
        """
        uniform = 1 / self.num_classes
        shape = (len(labels), self.num_classes)
        return torch.full(shape, uniform, dtype=torch.float64, device=labels.device)


class OnlineLabelSmoothingLoss(LabelSmoothingLoss):
    """Label smoothing whose soft label of a class is how the epoch before predicted it.

    The soft label of class y is the mean prediction, over all ranks, for the samples of y that were
    classified correctly in the epoch before; it is uniform in the first. A class without any such
    sample keeps its soft label. The state is in the checkpoint.

    For a detector, K = C: predictions are softmax over the C foreground logits, while a sample is
    classified correctly if its label has the largest of all C + 1 logits. Background has no soft
    label, and its samples keep theirs.

    Source: Zhang et al., Delving deep into label smoothing, TIP 2021; PCB (He et al., CVPR 2022,
    table 4) compares with it. Its alpha, the share of the hard label, is 1 - ``eps``.

    Args:
        num_classes: C, number of foreground classes.
        eps: share of the soft label, in [0, 1].
        num_steps: calls of the loss in an iteration: R in :class:`IterativeROIHeads`, else 1.
        iterations_per_epoch: None: ``EpochLengthHook`` fills it in; without it the first epoch
            never ends.

    Attributes:
        soft_labels: ``(C, C)``, row y is the soft label of class y.
        prediction_sums: ``(C, C)``, row y is the sum of the correct predictions of this epoch.
        num_calls: int64, calls in this epoch.

    Raises:
        ValueError: a number is out of its range.
    """

    soft_labels: Tensor
    prediction_sums: Tensor
    num_calls: Tensor

    def __init__(
        self,
        num_classes: int,
        eps: float = 0.5,
        *,
        num_steps: int = 1,
        iterations_per_epoch: int | None = None,
    ) -> None:
        super().__init__(num_classes, eps)
        _check_calls(num_steps, iterations_per_epoch)
        self.num_steps = num_steps
        self.iterations_per_epoch = iterations_per_epoch
        shape = (num_classes, num_classes)
        self.register_buffer("soft_labels", torch.full(shape, 1 / num_classes, device="cpu"))
        self.register_buffer("prediction_sums", torch.zeros(shape, device="cpu"))
        self.register_buffer("num_calls", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`ClassificationLoss.forward`; in training, call it on all ranks alike."""
        loss = super().forward(logits, labels)
        if self.is_learning:
            self._collect(logits.detach(), labels)
            self._end_epoch()
        return loss

    def soft_targets(self, labels: Tensor) -> Tensor:
        """See :meth:`LabelSmoothingLoss.soft_targets`."""
        return self.soft_labels[labels.clamp(max=self.num_classes - 1)]

    def learns_in_step(self, step: int, num_steps: int) -> bool:
        """In every step: a soft label is a mean prediction, of all ``num_steps`` calls."""
        return True

    @torch.no_grad()
    def _collect(self, logits: Tensor, labels: Tensor) -> None:
        """Add the correct predictions of all ranks."""
        x = check_inputs(logits, labels, self.num_classes)
        # Logits that are not finite count for nothing; the loss itself carries them on.
        is_correct = (x.logits.argmax(dim=1) == x.labels) & x.logits.isfinite().all(dim=1)
        counted = x.labels.masked_fill(~is_correct, self.num_classes)
        probs = self.mixture.foreground_probs(x.logits).to(self.prediction_sums.dtype)
        sums, _ = class_sums(probs, counted)
        self.prediction_sums += sums
        self.num_calls += 1

    @torch.no_grad()
    def _end_epoch(self) -> None:
        """At its end, make its predictions the soft labels; no host sync tells when that is."""
        if self.iterations_per_epoch is None:
            return
        is_over = self.num_calls >= self.iterations_per_epoch * self.num_steps
        totals = self.prediction_sums.sum(dim=1, keepdim=True)
        is_renewed = is_over & (totals > 0)
        renewed = torch.where(is_renewed, self.prediction_sums / totals, self.soft_labels)
        self.soft_labels.copy_(renewed)
        self.prediction_sums.masked_fill_(is_over, 0)
        self.num_calls.masked_fill_(is_over, 0)


def _check_calls(num_steps: int, iterations_per_epoch: int | None) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; a head has at least one step.")
    check_epoch_length(iterations_per_epoch)
