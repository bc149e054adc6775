"""Pairwise Class Balance (He et al., CVPR 2022), cited as "PCB" below."""

import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rankdet.losses._inputs import check_epoch_length, check_inputs, check_num_logits
from rankdet.losses.base import ClassificationLoss, SoftTargetLoss
from rankdet.losses.confusion import PairwiseConfusion
from rankdet.losses.epochs import EpochLoss

__all__ = ["PCBLoss", "PairwiseConfusion"]

logger = logging.getLogger(__name__)


class PCBLoss(ClassificationLoss, EpochLoss):
    """Mixes the labels of foreground samples with soft targets from the confusion matrix.

    A foreground sample of class y costs alpha L_PCB + (1 - alpha) L_base, where the target of L_PCB
    is column y of the posterior of the confusion matrix; background costs L_base. A class without
    statistics so far is trained by L_base alone and is in no target. A warning names these classes
    when PCB starts.

    Source: PCB eqs. 9 to 11 (soft parts: see ``mix`` of the base losses). Where the released code
    differs:

    - It updates the confusion matrix in each recurrent step, so that its momentum is gamma^R and
      the matrix mixes the predictions of all steps. Here :meth:`observe` updates it once per
      iteration (eq. 9), by the predictions of the last step, which are those of a test.
    - It starts only when every class has been seen, and so may never start, in silence.
    - Its base learns from a batch in each step, so that Seesaw counts each sample R times. Here the
      base observes each batch once.

    Args:
        base: the loss to wrap; number of logits and scores are its.
        alpha: share of L_PCB, in [0, 1]; in a head of R steps that of the last, to which it rises
            linearly from 0 in the first. Paper: 0.4 for softmax, 0.2 for EQL v2, 0.05 for Seesaw.
        start_epoch: epochs without L_PCB; the confusion matrix is collected from the first on.
        iterations_per_epoch: to convert ``start_epoch``. None: ``EpochLengthHook`` sets it. If
            nobody does, PCB starts at once, with a warning.
        momentum: gamma of :class:`PairwiseConfusion`.

    Raises:
        ValueError: ``alpha`` is not in [0, 1], or another number is out of its range.
        TypeError: ``base`` cannot take soft targets.
    """

    num_iterations: Tensor

    def __init__(
        self,
        base: SoftTargetLoss,
        *,
        alpha: float = 0.4,
        start_epoch: float = 16,
        iterations_per_epoch: int | None = None,
        momentum: float = 0.99,
    ) -> None:
        _check_base(base)
        _check_schedule(alpha, start_epoch, iterations_per_epoch)
        super().__init__(base.num_classes, base.num_logits)
        self.base = base
        self.alpha = alpha
        self.start_epoch = start_epoch
        self.iterations_per_epoch = iterations_per_epoch
        self.confusion = PairwiseConfusion(base.num_classes, momentum)
        self.register_buffer("num_iterations", torch.zeros((), dtype=torch.int64, device="cpu"))
        self._iteration = 0  # The same number on the host, where it decides without a sync.
        self._has_warned = False

    @property
    def needs_epoch_length(self) -> bool:
        """Whether the start depends on the length of an epoch, which nobody has said."""
        return self.iterations_per_epoch is None and self.start_epoch > 0

    def start_iteration(self) -> int:
        """Iterations without L_PCB; 0 if the length of an epoch is not known."""
        if self.iterations_per_epoch is None:
            return 0
        return math.ceil(self.start_epoch * self.iterations_per_epoch)

    def step_alpha(self, step: int, num_steps: int) -> float:
        """Share of L_PCB in a recurrent step: alpha (r - 1) / (R - 1), r from 1 (section 3.3).

        Args:
            step: in [0, ``num_steps``).
            num_steps: R; in a head without recurrence the share is alpha.
        """
        return self.alpha if num_steps == 1 else self.alpha * step / (num_steps - 1)

    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Let the base observe the batch, update the confusion matrix, and count the iteration."""
        self.base.observe(logits, labels)
        wide = logits.detach() if logits.dtype == torch.float64 else logits.detach().float()
        self.confusion.add(self.base.foreground_probs(wide), labels)
        self.num_iterations += 1
        self._iteration += 1

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of a head without recurrence; see :meth:`ClassificationLoss.forward`."""
        return self._mixed(logits, labels, self.alpha)

    def losses_of_step(
        self,
        step: int,
        num_steps: int,
        logits: Tensor,
        labels: Tensor,
        ious: Tensor,
        box_losses: Tensor,
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses_of_step`; the share of L_PCB rises with the step."""
        mixed = partial(self._mixed, alpha=self.step_alpha(step, num_steps))
        return self._losses_by(mixed, logits, labels, box_losses)

    def scores(self, logits: Tensor) -> Tensor:
        """``(N, C + 1)``: those of the base loss."""
        return self.base.scores(logits)

    def initial_logits(self, prior_prob: float) -> Tensor:
        """Those of the base loss."""
        return self.base.initial_logits(prior_prob)

    def statistics(self) -> dict[str, Tensor]:
        """PwB of the training so far, and how many classes have no statistics yet."""
        num_unseen = (~self.confusion.is_known).sum()
        return {
            "pairwise_bias": self.confusion.pairwise_bias(),
            "num_unseen_classes": num_unseen,
        }

    def _mixed(self, logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
        # The iteration that was observed last has this number, counted from 1.
        if self._iteration <= self.start_iteration() or not alpha:
            loss: Tensor = self.base(logits, labels)
            return loss
        self._warn_once()
        check_num_logits(logits, self.num_logits)
        x = check_inputs(logits, labels, self.num_classes)
        targets = self.confusion.soft_targets(
            x.labels, normalized=self.base.has_exclusive_classes
        ).to(x.logits.dtype)
        weights = alpha * self.confusion.knows(x.labels).to(x.logits.dtype)
        return self.base.mix(x, targets, weights)

    def _warn_once(self) -> None:
        """Say, once in this process, what is not as it should be when PCB starts."""
        if self._has_warned:
            return
        self._has_warned = True
        if self.needs_epoch_length:
            logger.warning(
                "PCB starts at once: it is to start after %s epochs, but nobody said how long an "
                "epoch is; give iterations_per_epoch, or train with EpochLengthHook.",
                self.start_epoch,
            )
        unseen = (~self.confusion.is_known).nonzero().squeeze(1).tolist()
        if unseen:
            shown = ", ".join(map(str, unseen[:20])) + (", ..." if len(unseen) > 20 else "")
            logger.warning(
                "PCB starts, but %d of %d classes have not been a foreground sample yet; they have "
                "no soft targets until they are: class ids %s.",
                len(unseen),
                self.num_classes,
                shown,
            )

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        # A matrix of other classes, which Detectron2 takes out beforehand, is another training.
        if prefix + "confusion.matrix" not in state_dict:
            self.num_iterations.zero_()
        self._iteration = int(self.num_iterations)


def _check_base(base: object) -> None:
    if not isinstance(base, SoftTargetLoss):
        raise TypeError(
            f"base is {type(base).__name__}, which cannot take soft targets; wrap a "
            "SoftmaxCrossEntropyLoss, an EQLv2Loss, a SeesawLoss or another SoftTargetLoss."
        )


def _check_schedule(alpha: float, start_epoch: float, iterations_per_epoch: int | None) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it is the share of the PCB term, in [0, 1].")
    if not 0 <= start_epoch < math.inf:
        raise ValueError(f"start_epoch is {start_epoch}; give a number of epochs >= 0.")
    check_epoch_length(iterations_per_epoch)
