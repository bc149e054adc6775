"""How a classifier confuses the foreground classes (He et al., CVPR 2022), cited as "PCB" below.

M is the confusion matrix: row i is the mean prediction for samples of class i.
"""

import torch
from torch import Tensor, nn

from rankdet.losses._distributed import sum_over_ranks_, sum_rows_over_ranks_
from rankdet.losses._inputs import check_inputs, foreground_labels


def posterior(matrix: Tensor) -> Tensor:
    """Probability of each true class given the predicted one.

    Source: PCB eq. 5. A class without statistics has a row of zeros and so no part in any column.

    Args:
        matrix: ``(C, C)`` confusion matrix M, >= 0.

    Returns:
        ``(C, C)``: M with every column divided by its sum; a column of zeros stays zero.
    """
    return matrix / matrix.sum(dim=0).clamp(min=torch.finfo(matrix.dtype).tiny)


def pairwise_bias(matrix: Tensor, is_known: Tensor | None = None) -> Tensor:
    """PwB: how far the confusions of pairs of classes are from being mutual.

    Source: PCB section 4.1: the Frobenius norm of M minus its transpose.

    Args:
        matrix: ``(C, C)`` confusion matrix M.
        is_known: ``(C,)`` bool, the classes to compare. None: all. A class without samples has
            no row, which would count as a bias.

    Returns:
        Scalar >= 0; 0 for a symmetric matrix.
    """
    difference = matrix - matrix.T
    if is_known is not None:
        difference = difference.masked_fill(~(is_known[:, None] & is_known), 0)
    return difference.square().sum().sqrt()


def class_sums(probs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the predictions for each class, over the samples of all ranks.

    Call it on every rank equally often, also without samples; only the rows of the classes
    that any rank has are sent.

    Args:
        probs: ``(N, C)`` predictions over the foreground classes.
        labels: ``(N,)`` int64 in [0, C]; background, C, is left out.

    Returns:
        Sums ``(C, C)``, row i of class i, and numbers of samples ``(C,)``, both like ``probs``.
    """
    num_classes = probs.shape[1]
    sums = probs.new_zeros(num_classes + 1, num_classes)
    counts = probs.new_zeros(num_classes + 1)
    sums.index_add_(0, labels, probs)
    counts.index_add_(0, labels, torch.ones_like(probs[:, 0]))
    # Background has the last row.
    sums, counts = sums[:-1], sum_over_ranks_(counts[:-1])
    return sum_rows_over_ranks_(sums, counts), counts


class PairwiseConfusion(nn.Module):
    """Confusion matrix of the foreground classes, as a running mean over the training.

    Every :meth:`update` moves the rows of the classes that any rank has seen in it (PCB eq. 9). The
    first one of a class sets its row, so that rows are never biased towards the start value; the
    paper leaves the start open, and the released code gets the same by making rows sum to 1 (not
    for EQL v2, whose rows start too low). The state is in the checkpoint.

    Args:
        num_classes: C, number of foreground classes, >= 1.
        momentum: gamma, share of the old row, in [0, 1).

    Attributes:
        matrix: ``(C, C)`` M; rows of classes not seen yet are zero.
        num_updates: ``(C,)`` int64, updates of each row.

    Raises:
        ValueError: ``num_classes`` is not positive, or ``momentum`` is not in [0, 1).
    """

    matrix: Tensor
    num_updates: Tensor

    def __init__(self, num_classes: int, momentum: float = 0.99) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; a detector needs at least one class.")
        if not 0 <= momentum < 1:
            raise ValueError(
                f"momentum is {momentum}; it is the share of the old statistics, in [0, 1): "
                "the paper has 0.99."
            )
        self.num_classes = num_classes
        self.momentum = momentum
        self.register_buffer("matrix", torch.zeros(num_classes, num_classes, device="cpu"))
        counts = torch.zeros(num_classes, dtype=torch.int64, device="cpu")
        self.register_buffer("num_updates", counts)

    @property
    def is_known(self) -> Tensor:
        """``(C,)`` bool: classes that have been seen."""
        return self.num_updates > 0

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """Check the predictions of one batch and take them in, of all ranks together.

        Call it on every rank equally often, also without samples.

        Args:
            probs: ``(N, C)`` in [0, 1]: predictions over the foreground classes (PCB eq. 1).
            labels: ``(N,)`` integer in [0, C]; background, C, is left out.

        Raises:
            ValueError: wrong shapes, or see :func:`rankdet.losses._inputs.check_inputs`.
        """
        if probs.shape != (len(labels), self.num_classes):
            raise ValueError(
                f"probs must have shape ({len(labels)}, {self.num_classes}), got "
                f"{tuple(probs.shape)}; leave the background column out."
            )
        x = check_inputs(probs, labels, self.num_classes)
        self.add(x.logits, x.labels)

    @torch.no_grad()
    def add(self, probs: Tensor, labels: Tensor) -> None:
        """:meth:`update` without its checks, for a loss that makes the same checks later.

        Args:
            probs: ``(N, C)``, float32 or wider.
            labels: ``(N,)`` integer; what is not in [0, C) is left out.
        """
        labels = foreground_labels(labels, self.num_classes)
        # Predictions that are not finite count for nothing; the loss itself carries them on.
        labels = labels.masked_fill(~probs.isfinite().all(dim=1), self.num_classes)
        sums, counts = class_sums(probs.to(self.matrix.dtype), labels)
        means = sums / counts.clamp(min=1).unsqueeze(1)
        is_seen = counts > 0
        weights = torch.full_like(counts, 1 - self.momentum).masked_fill(~self.is_known, 1)
        self.matrix.lerp_(means, (weights * is_seen).unsqueeze(1))
        self.num_updates += is_seen

    def knows(self, labels: Tensor) -> Tensor:
        """Which samples have a class with statistics.

        Args:
            labels: ``(N,)`` int64 in [0, C]; C is background.

        Returns:
            ``(N,)`` bool; False for background.
        """
        return nn.functional.pad(self.is_known, (0, 1))[labels]

    def soft_targets(self, labels: Tensor, *, normalized: bool = True) -> Tensor:
        """The class that a sample of each label is mistaken from: column y of the posterior.

        Args:
            labels: ``(N,)`` int64 in [0, C]; C is background.
            normalized: False takes M itself, for one-vs-all probabilities (PCB section 3.3).

        Returns:
            ``(N, C)`` >= 0, without gradient. Rows sum to 1 where normalized; those of background
            and of classes not seen yet are zero, and so are the columns of the latter.
        """
        columns = posterior(self.matrix) if normalized else self.matrix
        targets = columns.T[labels.clamp(max=self.num_classes - 1)]
        return targets.masked_fill(~self.knows(labels).unsqueeze(1), 0)

    def pairwise_bias(self) -> Tensor:
        """:func:`pairwise_bias` among the classes that have been seen, a scalar."""
        return pairwise_bias(self.matrix, self.is_known)

    def extra_repr(self) -> str:
        """Show the sizes when the model is printed."""
        return f"num_classes={self.num_classes}, momentum={self.momentum}"
