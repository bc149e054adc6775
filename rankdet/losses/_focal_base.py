"""What the score-based losses of dense detectors share: negatives, positives, their mean.

A dense head has millions of logits, all but a few of them negatives of the same form. So their
losses and gradients are computed together, in blocks that fit a cache, and only the gradient is
kept for the backward pass.

Letters: N rows (anchors or locations of all images), C classes, F foreground rows, f logits.
"""

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rankdet.losses._distributed import positives_per_rank
from rankdet.losses._inputs import JointInputs, check_joint_inputs, check_layers, check_range
from rankdet.losses.base import JointLoss

# Logits per thread: within a tenth of the fastest of 2**13 to 2**20 at 1 M logits on a CPU.
_CACHE_BLOCK = 2**16
_DEVICE_BLOCK = 2**24  # Bounds the memory of an accelerator: 64 MiB of float32 per temporary.


class Surrogate(NamedTuple):
    """What a loss takes in place of logits f; all of one shape that broadcasts.

    Attributes:
        logits: z, whose sigmoid learns the target.
        modulator: m, whose sigmoid p says how easy an entry is; z itself or f.
        slope: dz / df.
        modulator_slope: dm / df.
        weights: factor of the losses.
    """

    logits: Tensor
    modulator: Tensor
    slope: float = 1.0
    modulator_slope: float = 1.0
    weights: Tensor | float = 1.0


class SurrogateScore(nn.Module):
    """Gives a loss something to learn in place of the logits; here the logits themselves."""

    num_classes: int | None = None
    """C, or None: any number will do."""

    def forward(self, logits: Tensor, classes: Tensor | slice) -> Surrogate:
        """Replace logits for the loss.

        Args:
            logits: ``(..., K)``.
            classes: which K classes these are, an index into C.

        Returns:
            ``(..., K)``.
        """
        return Surrogate(logits, logits)

    def invert(self, logits: Tensor) -> Tensor:
        """Find the logits that :meth:`forward` replaces by these.

        Args:
            logits: ``(C,)`` on the CPU, one per class.

        Returns:
            ``(C,)`` on the CPU.
        """
        return logits


class DenseLoss(JointLoss):
    """A sum over all rows and classes, divided by the number of foreground rows.

    A negative costs negative_weight p^gamma softplus(f), p = sigmoid(f); what a positive costs is
    the subclass's. The number of foreground rows is that of all ranks, 1 at least, divided by the
    number of ranks: so processes, whose gradients are averaged, train as one process does on all
    their images.

    Args:
        num_classes: C, number of foreground classes.
        gamma: exponent of the modulator, >= 0.
        negative_weight: weight of the negatives, >= 0.
        box_weight: weight of the box loss against classification, >= 0.
        surrogate: what the loss takes in place of logits. None: them.

    Raises:
        ValueError: a setting is out of its range, or ``surrogate`` is for other classes.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: float,
        negative_weight: float,
        box_weight: float = 1.0,
        surrogate: SurrogateScore | None = None,
    ) -> None:
        super().__init__(num_classes)
        check_range("gamma", gamma, 0)
        check_range("box_weight", box_weight, 0)
        self.gamma = gamma
        self.negative_weight = negative_weight
        self.box_weight = box_weight
        self.surrogate = surrogate or SurrogateScore()
        _check_classes(self.surrogate, num_classes)

    @abstractmethod
    def positives(self, x: Surrogate, ious: Tensor) -> Tensor:
        """Penalize the logit of each foreground row at its class.

        Args:
            x: surrogate ``(F,)`` of these logits; its weights are applied to what is returned.
            ious: ``(F,)`` IoU of the predicted boxes, without gradient.

        Returns:
            ``(F,)``, differentiable in ``x``.
        """

    def learned_logits(self, logits: Tensor) -> Tensor:
        """Those of the surrogate."""
        learned: Tensor = self.surrogate(logits, slice(None)).logits
        return learned

    def initial_logits(self, prior_prob: float) -> Tensor:
        """Logits whose surrogate score is the prior."""
        return self.surrogate.invert(super().initial_logits(prior_prob))

    def losses(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses`: ``loss_cls`` and ``loss_box_reg``."""
        x = check_joint_inputs(logits, labels, ious, box_losses, self.num_classes)
        return self._sums(x, box_losses)

    def losses_of_layers(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses_of_layers`; one call for all."""
        x = check_layers(logits, labels, ious, box_losses, self.num_classes)
        return self._sums(x, box_losses)

    def _sums(self, x: JointInputs, box_losses: Tensor) -> dict[str, Tensor]:
        """Losses of one layer, or of G: ``(G, F)`` box losses, and a guard for each."""
        num_pos = positives_per_rank(box_losses.shape[-1], x.logits)
        negatives, own_logits = self._split(x)
        own = self.surrogate(own_logits, x.classes)
        positives = (own.weights * self.positives(own, x.ious)).view_as(box_losses).sum(-1)
        box_loss = self.box_weight * box_losses.to(x.logits.dtype).sum(-1)
        return {
            "loss_cls": (negatives + positives) / num_pos + x.guard,
            "loss_box_reg": box_loss / num_pos,
        }

    def _split(self, x: JointInputs) -> tuple[Tensor, Tensor]:
        """Sum of the negatives' losses of each layer, and the logits of all positives."""
        # A negative at minus infinity costs nothing, exactly: so all else is left out.
        offsets = x.logits.new_zeros(len(x.logits)).masked_fill_(x.is_ignored, -math.inf)
        negatives = x.logits.detach() + offsets.unsqueeze(1)
        negatives[x.rows, x.classes] = -math.inf
        total = self._differentiate_(negatives.view(x.guard.numel(), -1, self.num_classes))
        split: tuple[Tensor, Tensor] = _Split.apply(  # type: ignore[no-untyped-call]
            x.logits, x.rows, x.classes, total.view_as(x.guard), negatives
        )
        return split

    @torch.no_grad()
    def _differentiate_(self, negatives: Tensor) -> Tensor:
        """Sum the losses of ``(G, N, C)`` logits, which their gradients replace; ``(G,)``."""
        sums = negatives.new_zeros(len(negatives))
        num_rows = max(_block_size(negatives) // self.num_classes, 1)
        num_layers = max(num_rows // max(negatives.shape[1], 1), 1)
        for first in range(0, len(negatives), num_layers):
            layers = slice(first, first + num_layers)
            for block in torch.split(negatives[layers], num_rows, dim=1):
                x = self.surrogate(block, slice(None))
                losses, gradients = negative_losses(x, self.gamma, self.negative_weight)
                sums[layers] += losses.sum((1, 2))
                block.copy_(gradients)
        return sums

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"{super().extra_repr()}, gamma={self.gamma}, box_weight={self.box_weight}"


def _check_classes(surrogate: SurrogateScore, num_classes: int) -> None:
    if surrogate.num_classes not in (None, num_classes):
        raise ValueError(
            f"num_classes is {num_classes}, but surrogate is for {surrogate.num_classes} classes; "
            "count the classes of the data set that the model is trained on."
        )


def negative_losses(x: Surrogate, gamma: float, weight: float) -> tuple[Tensor, Tensor]:
    """Modulated cross-entropy of negatives: weight p^gamma softplus(z), p = sigmoid(m).

    Args:
        x: surrogate of logits of any shape; minus infinity costs 0.
        gamma: exponent, >= 0.
        weight: factor besides the surrogate's own.

    Returns:
        Losses and their derivatives by f, of the shape of the logits; the graph is not kept.
    """
    score = x.modulator.sigmoid()
    cost = softplus(x.logits)
    rise = (1 - score).mul_(cost).mul_(gamma * x.modulator_slope)
    surrogate = score if x.modulator is x.logits else x.logits.sigmoid()
    modulator = score.pow(gamma).mul_(weight * x.weights)
    gradients = rise.add_(surrogate, alpha=x.slope).mul_(modulator)
    return modulator.mul_(cost), gradients


def softplus(logits: Tensor) -> Tensor:
    """log(1 + e^x) = -log(1 - sigmoid(x)) to the last digit; torch's default stops at 1e-10."""
    return F.softplus(logits, threshold=40)


class _Split(torch.autograd.Function):
    """Take positives out of all logits, and give the sum over the others its known gradient."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, rows: Tensor, classes: Tensor, total: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(rows, classes, gradients)
        return total, logits[rows, classes]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor, own_gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, classes, gradients = ctx.saved_tensors
        by_layer = gradients.view(weight.numel(), -1) * weight.view(-1, 1)
        weighted = by_layer.view_as(gradients)
        weighted[rows, classes] = own_gradients
        return weighted, None, None, None, None


def _block_size(logits: Tensor) -> int:
    is_cpu = logits.device.type == "cpu"
    return _CACHE_BLOCK * torch.get_num_threads() if is_cpu else _DEVICE_BLOCK
