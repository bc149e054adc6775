"""Softmax cross-entropy with smoothed labels, fixed or learnt: what PCB's table 4 compares with.

Background is left out of both, as it is of PCB.
"""

import torch
from torch import Tensor

from rankdet.losses._inputs import (
    check_epoch_length,
    check_inputs,
    check_num_logits,
    foreground_labels,
)
from rankdet.losses.confusion import class_sums
from rankdet.losses.epochs import EpochLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss, mixed_cross_entropy


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

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`ClassificationLoss.forward`."""
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        weights = self.eps * (x.labels < self.num_classes).to(x.logits.dtype)
        targets = self.soft_targets(x.labels).to(x.logits.dtype)
        return mixed_cross_entropy(x, targets, weights, num_soft=self.num_logits)

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


class OnlineLabelSmoothingLoss(LabelSmoothingLoss, EpochLoss):
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
        iterations_per_epoch: None: ``EpochLengthHook`` sets it; without it the first epoch never
            ends.

    Attributes:
        soft_labels: ``(C, C)``, row y is the soft label of class y.
        prediction_sums: ``(C, C)``, row y is the sum of the correct predictions of this epoch.
        num_iterations: int64, iterations of this epoch so far.

    Raises:
        ValueError: a number is out of its range.
    """

    soft_labels: Tensor
    prediction_sums: Tensor
    num_iterations: Tensor

    def __init__(
        self, num_classes: int, eps: float = 0.5, *, iterations_per_epoch: int | None = None
    ) -> None:
        super().__init__(num_classes, eps)
        check_epoch_length(iterations_per_epoch)
        self.iterations_per_epoch = iterations_per_epoch
        shape = (num_classes, num_classes)
        self.register_buffer("soft_labels", torch.full(shape, 1 / num_classes, device="cpu"))
        self.register_buffer("prediction_sums", torch.zeros(shape, device="cpu"))
        self.register_buffer("num_iterations", torch.zeros((), dtype=torch.int64, device="cpu"))

    @torch.no_grad()
    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Start a new epoch if one is over, then add the correct predictions of all ranks."""
        self._start_epoch_when_due()
        wide = logits if logits.dtype == torch.float64 else logits.float()
        # Logits that are not finite count for nothing; the loss itself carries them on.
        is_correct = (wide.argmax(dim=1) == labels) & wide.isfinite().all(dim=1)
        counted = foreground_labels(labels, self.num_classes)
        counted = counted.masked_fill(~is_correct, self.num_classes)
        probs = self.foreground_probs(wide).to(self.prediction_sums.dtype)
        sums, _ = class_sums(probs, counted)
        self.prediction_sums += sums
        self.num_iterations += 1

    def soft_targets(self, labels: Tensor) -> Tensor:
        """See :meth:`LabelSmoothingLoss.soft_targets`."""
        return self.soft_labels[labels.clamp(max=self.num_classes - 1)]

    def _start_epoch_when_due(self) -> None:
        """Make the predictions of a full epoch the soft labels, without a host sync."""
        if self.iterations_per_epoch is None:
            return
        is_over = self.num_iterations >= self.iterations_per_epoch
        totals = self.prediction_sums.sum(dim=1, keepdim=True)
        is_renewed = is_over & (totals > 0)
        renewed = torch.where(is_renewed, self.prediction_sums / totals, self.soft_labels)
        self.soft_labels.copy_(renewed)
        self.prediction_sums.masked_fill_(is_over, 0)
        self.num_iterations.masked_fill_(is_over, 0)
