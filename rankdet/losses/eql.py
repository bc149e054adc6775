"""Equalization losses: v1 (Tan et al., CVPR 2020), "EQL" below, and v2 (CVPR 2021), "EQL v2".

Both are sigmoid binary cross-entropy in which rare classes are pushed down less as negatives.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._class_counts import check_counts
from rankdet.losses._distributed import sum_over_ranks_
from rankdet.losses._inputs import CheckedInputs, check_inputs, check_num_logits, one_hot
from rankdet.losses.base import ClassificationLoss, SoftTargetLoss, independent_scores


def eql_loss(logits: Tensor, labels: Tensor, is_rare: Tensor) -> Tensor:
    """Sigmoid binary cross-entropy in which foreground samples do not push rare classes down.

    Source: EQL section 3.1: the weight of sample r and class j is 1 - E(r) T(f_j) (1 - y_j), where
    E is 1 for foreground and T is 1 for rare classes. Its exception for the image-level negative
    labels of LVIS is left out, as in the authors' code: a loss of logits and labels can't see them.

    Args:
        logits: ``(N, C)``, any real.
        labels: ``(N,)`` int64 in [0, C]; C is background.
        is_rare: ``(C,)`` bool, T.

    Returns:
        Scalar >= 0: sum over classes, mean over N; 0 and connected to the graph if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.

    Example:
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> loss = eql_loss(logits, torch.tensor([0]), is_rare=torch.tensor([False, True]))
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(0.6931, grad_fn=<AddBackward0>) tensor([[-0.5000,  0.0000]])
    """
    num_classes = logits.shape[-1]
    x = check_inputs(logits, labels, num_classes)
    targets = one_hot(x.labels, x.logits)
    is_foreground = (x.labels < num_classes).unsqueeze(1)
    weights = 1 - (is_foreground & is_rare) * (1 - targets)
    total = F.binary_cross_entropy_with_logits(x.logits, targets, weight=weights, reduction="sum")
    return total / max(len(x.labels), 1) + x.guard


class EQLLoss(ClassificationLoss):
    """Module of :func:`eql_loss`: C logits, sigmoid scores.

    Args:
        image_counts: ``(C,)`` training images per class, from ``class_counts(...).images``.
        num_images: images of the training set. A class is rare if its share of them,
            ``image_counts / num_images``, is below the threshold.
        threshold: the paper's lambda. 0.00177, the default, is the released value for LVIS v0.5;
            that of LVIS v1 is 0.0011.

    Raises:
        ValueError: a count is negative or larger than ``num_images``, or an argument not positive.
    """

    is_rare: Tensor

    def __init__(
        self, image_counts: Tensor | Sequence[float], num_images: int, threshold: float = 0.00177
    ) -> None:
        counts = check_counts("image_counts", image_counts)
        super().__init__(len(counts), num_logits=len(counts))
        _check_positive("num_images", num_images)
        if counts.max() > num_images:
            raise ValueError(
                f"image_counts has {counts.max().item():g}, but num_images is {num_images}; count "
                "the images that show a class (class_counts(...).images), not its instances."
            )
        if not 0 <= threshold < math.inf:
            raise ValueError(f"threshold is {threshold}; it is a share of the images, >= 0.")
        self.register_buffer("is_rare", counts / num_images < threshold, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`eql_loss`."""
        check_num_logits(logits, self.num_logits)
        return eql_loss(logits, labels, self.is_rare)

    def scores(self, logits: Tensor) -> Tensor:
        """See :func:`rankdet.losses.base.independent_scores`."""
        return independent_scores(logits)


def eqlv2_class_weights(
    pos_gradients: Tensor, neg_gradients: Tensor, *, gamma: float, mu: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """Weights of a class's samples from the balance of the gradients that it got so far.

    Source: EQL v2 section 3.3: with the ratio g of both sums and f(g) = sigmoid(gamma (g - mu)),
    positives weigh 1 + alpha (1 - f) and negatives f. A class without any gradient yet counts as
    balanced and weighs 1 (released: g = 100 before the first batch, which gives the same).

    Args:
        pos_gradients: ``(C,)`` sum of the gradients' magnitudes over positives, >= 0.
        neg_gradients: ``(C,)`` the same over negatives.
        gamma: steepness of f.
        mu: ratio at which f is 1/2.
        alpha: largest addition to the weight of positives.

    Returns:
        Weights of positives and of negatives, ``(C,)`` each.
    """
    ratios = torch.where(neg_gradients > 0, pos_gradients / neg_gradients, torch.inf)
    neg_weights = torch.sigmoid(gamma * (ratios - mu))
    return 1 + alpha * (1 - neg_weights), neg_weights


def gradient_sums(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Magnitudes of the gradients of weighted binary cross-entropy, summed over samples.

    Args:
        logits: ``(N, C)``, float32 or wider.
        targets: ``(N, C)`` of 0 and 1.
        weights: ``(N, C)`` of the terms.

    Returns:
        ``(2, C)`` float64: sums over positives and over negatives. Logits that are NaN add nothing,
        so that the statistics of a run that stops at a NaN loss stay sound.
    """
    magnitudes = (logits.detach().sigmoid() - targets).abs_().mul_(weights)
    sums = [(magnitudes * targets).sum(dim=0), (magnitudes * (1 - targets)).sum(dim=0)]
    return torch.stack(sums).double().nan_to_num(nan=0.0)


class EQLv2Loss(SoftTargetLoss):
    """Sigmoid binary cross-entropy that balances the gradients of each class's two sides.

    Source: EQL v2 section 3.3. C + 1 logits; the last is background, the complement of the paper's
    objectness, and is not re-weighted. :meth:`observe` sums the re-weighted gradients, without the
    mean over samples, over all processes. The sums never decay and are in the checkpoint; each
    stage of a cascade has its own. A batch is weighted by the sums of the batches before it.

    Args:
        num_classes: C, number of foreground classes.
        gamma: steepness of the weights' mapping from gradient ratios.
        mu: gradient ratio at which negatives weigh 1/2.
        alpha: largest addition to the weight of positives.

    Raises:
        ValueError: ``gamma`` is not positive, or ``mu`` or ``alpha`` negative.
    """

    has_exclusive_classes = False
    pos_gradients: Tensor
    neg_gradients: Tensor
    pos_weights: Tensor
    neg_weights: Tensor

    def __init__(
        self, num_classes: int, *, gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0
    ) -> None:
        super().__init__(num_classes, num_logits=num_classes + 1)
        _check_positive("gamma", gamma)
        if not (0 <= mu < math.inf and 0 <= alpha < math.inf):
            raise ValueError(f"mu is {mu} and alpha is {alpha}; both must be >= 0 and finite.")
        self.gamma, self.mu, self.alpha = gamma, mu, alpha
        # float64: after a long training one batch's share is below the last digit of float32.
        for name in ("pos_gradients", "neg_gradients"):
            zeros = torch.zeros(num_classes, dtype=torch.float64, device="cpu")
            self.register_buffer(name, zeros)
        self.register_buffer("pos_weights", None, persistent=False)
        self.register_buffer("neg_weights", None, persistent=False)
        self._update_weights()

    @torch.no_grad()
    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Fix the weights of a batch by the sums so far, then add its gradients to the sums."""
        self._update_weights()
        is_known = (labels >= 0) & (labels <= self.num_classes)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        targets = one_hot(labels.long().where(is_known, self.num_classes), wide)
        weights = self.weights(targets) * is_known.unsqueeze(1)
        sums = gradient_sums(wide[:, :-1], targets[:, :-1], weights[:, :-1])
        positives, negatives = sum_over_ranks_(sums)
        self.pos_gradients += positives
        self.neg_gradients += negatives

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Penalize the logits.

        Args:
            logits: ``(N, C + 1)``, any real.
            labels: ``(N,)`` int64 in [0, C]; C is background.

        Returns:
            Scalar >= 0: sum over C + 1 columns, mean over N; 0 and connected if N = 0.

        Raises:
            ValueError: see :func:`rankdet.losses._inputs.check_inputs`.
        """
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        targets = one_hot(x.labels, x.logits)
        return self._mean(x, targets, self.weights(targets))

    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Sigmoid of the C foreground logits."""
        return logits[:, : self.num_classes].sigmoid()

    def mix(self, x: CheckedInputs, targets: Tensor, weights: Tensor) -> Tensor:
        """See :meth:`SoftTargetLoss.mix`.

        Source: PCB eqs. 13 to 15: the weight w_i of a class is that of the label in both parts, so
        that they are one binary cross-entropy of the mixed target; background's logit keeps its
        label. Section 3.3 leaves the targets without normalization, as does the released code; the
        appendix's eq. 14 prints the normalized ones. In the released code the mixed target sets the
        weights, and the gradients are collected with it.
        """
        hard = one_hot(x.labels, x.logits)
        classes = torch.lerp(hard[:, :-1], targets, weights.unsqueeze(1))
        mixed = torch.cat([classes, hard[:, -1:]], dim=1)
        return self._mean(x, mixed, self.weights(hard))

    def weights(self, targets: Tensor) -> Tensor:
        """``(N, C + 1)`` weights of the terms of ``(N, C + 1)`` targets; 1 for background."""
        pos_weights, neg_weights = (
            F.pad(weights, (0, 1), value=1.0).to(targets.dtype)
            for weights in (self.pos_weights, self.neg_weights)
        )
        return torch.lerp(neg_weights, pos_weights, targets)

    def scores(self, logits: Tensor) -> Tensor:
        """``(N, C + 1)``: sigmoid(z_c) (1 - sigmoid(z_bg)); the last column is sigmoid(z_bg)."""
        scores = logits.sigmoid()
        background = scores[:, -1:]
        return torch.cat([scores[:, :-1] * (1 - background), background], dim=1)

    def _mean(self, x: CheckedInputs, targets: Tensor, weights: Tensor) -> Tensor:
        total = F.binary_cross_entropy_with_logits(
            x.logits, targets, weight=weights, reduction="sum"
        )
        return total / max(len(x.labels), 1) + x.guard

    def _update_weights(self) -> None:
        self.pos_weights, self.neg_weights = eqlv2_class_weights(
            self.pos_gradients,
            self.neg_gradients,
            gamma=self.gamma,
            mu=self.mu,
            alpha=self.alpha,
        )

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._update_weights()


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; it must be positive and finite.")
