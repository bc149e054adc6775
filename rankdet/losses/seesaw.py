"""Seesaw loss (Wang et al., CVPR 2021), cited as "Seesaw" below.

Logits are those of the C classes, a softmax among themselves, and two of objectness: foreground,
background. N_i is the number of training samples of class i so far.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._distributed import sum_over_ranks_
from rankdet.losses._inputs import CheckedInputs, check_inputs, check_num_logits, foreground_labels
from rankdet.losses._seesaw_soft import seesaw_soft_losses
from rankdet.losses.base import SoftTargetLoss


class SeesawTerms(NamedTuple):
    """The two terms of Seesaw loss, each a scalar >= 0 that is a mean over all N samples."""

    classes: Tensor
    """Which class a foreground sample has; 0 if there is none."""
    objectness: Tensor
    """Whether a sample is foreground."""


@torch.no_grad()
def seesaw_log_factors(
    logits: Tensor, labels: Tensor, class_counts: Tensor, *, p: float, q: float, eps: float
) -> Tensor:
    """Log of the factors S_ij by which class j counts in the softmax of a sample of class i.

    Source: Seesaw section 3.2: S_ij = M_ij C_ij with the mitigation M_ij = min(1, N_j / N_i)^p and
    the compensation C_ij = max(1, s_j / s_i)^q, s being the softmax over the classes. They are
    constants to the gradient, as released. Computed as logs, so that no factor overflows.

    Args:
        logits: ``(N, C)``, float32 or wider, of the classes alone.
        labels: ``(N,)`` int64 in [0, C]. Background rows get the factors of class C - 1.
        class_counts: ``(C,)`` samples so far; a class without samples counts as one.
        p: exponent of the mitigation, >= 0.
        q: exponent of the compensation, >= 0.
        eps: s_i is taken as at least this in the compensation.

    Returns:
        ``(N, C)`` of log S_ij; 0 at the label.
    """
    own = labels.clamp(max=logits.shape[1] - 1).unsqueeze(1)
    log_probs = torch.log_softmax(logits, dim=1)
    own_log_probs = log_probs.gather(1, own).clamp(min=math.log(eps) if eps else -math.inf)
    compensation = (log_probs - own_log_probs).clamp_(min=0).mul_(q)
    log_counts = class_counts.clamp(min=1).to(logits.dtype).log()
    return compensation.add_((log_counts - log_counts[own]).clamp_(max=0), alpha=p)


def seesaw_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Tensor,
    *,
    p: float = 0.8,
    q: float = 2.0,
    eps: float = 0.01,
) -> SeesawTerms:
    """Cross-entropy of the re-balanced softmax of the classes, and of objectness.

    Source: Seesaw eq. 3 with sections 3.2 and 3.3 (objectness branch). As released, both terms are
    divided by the number of all samples, background included.

    Args:
        logits: ``(N, C + 2)``, any real.
        labels: ``(N,)`` int64 in [0, C]; C is background.
        class_counts: ``(C,)`` samples of each class so far, this batch included.
        p: see :func:`seesaw_log_factors`.
        q: see :func:`seesaw_log_factors`.
        eps: see :class:`SeesawLoss`.

    Returns:
        Both terms; 0 and connected to the graph if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.

    Example:
        >>> logits = torch.zeros(1, 4, requires_grad=True)  # two classes, foreground, background
        >>> terms = seesaw_loss(logits, torch.tensor([0]), class_counts=torch.tensor([100, 1]))
        >>> sum(terms).backward()
        >>> print(terms.classes, terms.objectness)
        tensor(0.0248, grad_fn=<AddBackward0>) tensor(0.6931, grad_fn=<AddBackward0>)
        >>> print(logits.grad)
        tensor([[-0.0245,  0.0245, -0.5000,  0.5000]])
    """
    num_classes = logits.shape[-1] - 2
    x = check_inputs(logits, labels, num_classes)
    classes, objectness = x.logits[:, :num_classes], x.logits[:, num_classes:]
    factors = seesaw_log_factors(classes, x.labels, class_counts, p=p, q=q, eps=eps)
    is_background = (x.labels == num_classes).long()
    # Background rows are left out by their label: picking the others would cost a host sync.
    totals = SeesawTerms(
        F.cross_entropy(classes + factors, x.labels, ignore_index=num_classes, reduction="sum"),
        F.cross_entropy(objectness, is_background, reduction="sum"),
    )
    return SeesawTerms(*(total / max(len(x.labels), 1) + x.guard for total in totals))


class SeesawLoss(SoftTargetLoss):
    """Module of :func:`seesaw_loss` that counts the samples of each class while it trains.

    The counts are a buffer: they are in the checkpoint, and each stage of a cascade has its own.
    :meth:`observe` counts the samples of all processes, so that the loss does not depend on how
    many there are; in the release each process counts its own. The authors use it with a cosine
    classifier of temperature 20
    (:class:`rankdet.modeling.normed_layers.NormedLinear`).

    Args:
        num_classes: C, number of foreground classes.
        p: strength of the mitigation: how much less a rarer class is pushed down.
        q: strength of the compensation: how much more a class is pushed down that wins wrongly.
        eps: smallest probability of the label in the compensation. The paper has no such limit
            (``eps=0``); its authors' code, by which its numbers were made, has 0.01.

    Raises:
        ValueError: ``p`` or ``q`` is negative, or ``eps`` outside [0, 1).
    """

    has_exclusive_classes = True
    class_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 0.01,
    ) -> None:
        super().__init__(num_classes, num_logits=num_classes + 2)
        if not (0 <= p < math.inf and 0 <= q < math.inf):
            raise ValueError(f"p is {p} and q is {q}; they are exponents >= 0 (0 switches off).")
        if not 0 <= eps < 1:
            raise ValueError(f"eps is {eps}; it is a probability in [0, 1) (0 is no limit).")
        self.p, self.q, self.eps = p, q, eps
        # Integers, because a float32 count stops growing at 2^24.
        self.register_buffer(
            "class_counts", torch.zeros(num_classes, dtype=torch.int64, device="cpu")
        )

    @torch.no_grad()
    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Count the samples of each class of a batch, on all ranks."""
        labels = foreground_labels(labels, self.num_classes)
        counts = labels.new_zeros(self.num_classes + 1)
        counts.scatter_add_(0, labels, torch.ones_like(labels))
        self.class_counts += sum_over_ranks_(counts)[:-1]

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of both terms of :func:`seesaw_loss`."""
        check_num_logits(logits, self.num_logits)
        terms = seesaw_loss(logits, labels, self.class_counts, p=self.p, q=self.q, eps=self.eps)
        return terms.classes + terms.objectness

    def foreground_probs(self, logits: Tensor) -> Tensor:
        """Plain softmax over the C class logits (PCB eq. 1), as at test."""
        return torch.softmax(logits[:, : self.num_classes], dim=1)

    def mix(self, x: CheckedInputs, targets: Tensor, weights: Tensor) -> Tensor:
        """See :meth:`SoftTargetLoss.mix`.

        Source: PCB eqs. 16 to 18: each class i of the target has its own factors S_ij; objectness
        keeps its labels. The released code takes the label's factors S_yj for all of them, and
        leaves those in the numerator. Without a limit (``eps=0``) a sample costs C x C numbers.
        """
        classes, objectness = x.logits[:, : self.num_classes], x.logits[:, self.num_classes :]
        strengths = {"p": self.p, "q": self.q, "eps": self.eps}
        factors = seesaw_log_factors(classes, x.labels, self.class_counts, **strengths)
        hard = F.cross_entropy(
            classes + factors, x.labels, ignore_index=self.num_classes, reduction="none"
        )
        soft = seesaw_soft_losses(classes, targets, self.class_counts, **strengths)
        is_background = (x.labels == self.num_classes).long()
        total = torch.lerp(hard, soft, weights).sum()
        total = total + F.cross_entropy(objectness, is_background, reduction="sum")
        return total / max(len(x.labels), 1) + x.guard

    def scores(self, logits: Tensor) -> Tensor:
        """``(N, C + 1)``: softmax of the class times P(foreground); last column P(background)."""
        classes = logits[:, : self.num_classes].softmax(dim=1)
        objectness = logits[:, self.num_classes :].softmax(dim=1)
        return torch.cat([classes * objectness[:, :1], objectness[:, 1:]], dim=1)

    def initial_logits(self, prior_prob: float) -> Tensor:
        """Equal classes, and the objectness that gives each of them the prior as its score.

        Args:
            prior_prob: score of each foreground class, in (0, 1 / C).

        Returns:
            ``(C + 2,)``: the logit of C times the prior for foreground, 0 elsewhere.

        Raises:
            ValueError: ``prior_prob`` is no probability, or C of them are more than one.
        """
        logits = torch.zeros_like(super().initial_logits(prior_prob))
        objectness = prior_prob * self.num_classes
        if objectness >= 1:
            raise ValueError(
                f"prior_prob is {prior_prob}, but Seesaw's {self.num_classes} classes share one "
                f"softmax; give less than {1 / self.num_classes:.2g}, or None."
            )
        logits[self.num_classes] = math.log(objectness / (1 - objectness))
        return logits
