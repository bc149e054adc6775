"""Pairwise Class Balance (He et al., CVPR 2022), cited as "PCB" below."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rankdet.losses._inputs import check_epoch_length, check_inputs, check_num_logits
from rankdet.losses.classification import ClassificationLoss
from rankdet.losses.confusion import PairwiseConfusion
from rankdet.losses.soft_targets import SoftTargetLoss

__all__ = ["PCBLoss", "PairwiseConfusion"]

logger = logging.getLogger(__name__)


class PCBLoss(ClassificationLoss):
    """Teaches a base loss, for part of each foreground sample, what its class is mistaken from.

    A foreground sample of class y costs alpha L_PCB + (1 - alpha) L_base, where the target of L_PCB
    is column y of the posterior of the confusion matrix; background costs L_base. A class not seen
    yet has no statistics: its samples have L_base alone, and it is in no target. Which they are is
    said once, when PCB starts; they join as they are seen.

    Source: PCB eqs. 9 to 11 (soft parts: see the base losses). Where the released code differs:

    - It updates the confusion matrix in each recurrent step, so that its momentum is gamma^R and
      the matrix mixes the predictions of all steps (``updates_every_step=True``). The default is
      once per iteration (eq. 9), with the last step's predictions, which are those of a test; the
      earlier steps use the matrix of the iteration before.
    - It starts only when every class has been seen, and so may never start, in silence.
    - Its base learns from a batch in each step, so that Seesaw counts each sample R times. Here the
      base learns once: Seesaw in the first step, EQL v2 in the last.

    Args:
        base: the loss to wrap; number of logits and scores are its.
        alpha: share of L_PCB in the last recurrent step, in [0, 1]; paper: 0.4 for softmax, 0.2 for
            EQL v2, 0.05 for Seesaw. It rises linearly from 0 in the first step.
        num_steps: R, recurrent steps of the head. 1: no recurrence, and alpha as it is.
        start_epoch: epochs without L_PCB; the confusion matrix is collected from the first on.
        iterations_per_epoch: to convert ``start_epoch``. None: a hook sets it before the training.
        momentum: gamma of :class:`PairwiseConfusion`.
        updates_every_step: the code's rule.

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
        num_steps: int = 1,
        start_epoch: float = 16,
        iterations_per_epoch: int | None = None,
        momentum: float = 0.99,
        updates_every_step: bool = False,
    ) -> None:
        _check_base(base)
        _check_schedule(alpha, num_steps, start_epoch, iterations_per_epoch)
        super().__init__(base.num_classes, base.num_logits)
        self.base = base
        self.alpha = alpha
        self.num_steps = num_steps
        self.start_epoch = start_epoch
        self.iterations_per_epoch = iterations_per_epoch
        self.updates_every_step = updates_every_step
        self.confusion = PairwiseConfusion(base.num_classes, momentum)
        self.register_buffer("num_iterations", torch.zeros((), dtype=torch.int64, device="cpu"))
        self._iteration = 0  # The same number on the host, where it decides without a sync.
        self._has_reported = False

    def start_iteration(self) -> int:
        """Iterations without L_PCB.

        Raises:
            RuntimeError: the length of an epoch is needed and not known.
        """
        if self.start_epoch == 0:
            return 0
        if self.iterations_per_epoch is None:
            raise RuntimeError(
                f"PCBLoss starts after {self.start_epoch} epochs, but iterations_per_epoch is "
                "None: give it, or train with a hook that sets it, or set start_epoch=0."
            )
        return math.ceil(self.start_epoch * self.iterations_per_epoch)

    def step_alpha(self, step: int) -> float:
        """Share of L_PCB in a recurrent step: alpha (r - 1) / (R - 1), r from 1 (section 3.3).

        Args:
            step: recurrent step in [0, ``num_steps``).
        """
        return self.alpha if self.num_steps == 1 else self.alpha * step / (self.num_steps - 1)

    def forward(self, logits: Tensor, labels: Tensor, step: int | None = None) -> Tensor:
        """The loss of one recurrent step; in training, call it for all steps in their order.

        Args:
            logits: ``(N, num_logits)``.
            labels: ``(N,)`` int64 in [0, C]; C is background.
            step: recurrent step in [0, ``num_steps``). None: the last, as of a head with one.

        Returns:
            Scalar, mean over the N samples; 0 and connected to the graph if N = 0.

        Raises:
            ValueError: see :func:`rankdet.losses._inputs.check_inputs`, or no such step.
        """
        check_num_logits(logits, self.num_logits)
        step = self._check_step(step)
        is_last = step == self.num_steps - 1
        is_active = self._iteration >= self.start_iteration()
        if self.is_learning:
            self._collect(logits, labels, is_last)
        alpha = self.step_alpha(step) if is_active else 0.0
        with self.base.in_step(step, self.num_steps):
            loss: Tensor = (
                self._balanced(logits, labels, alpha) if alpha else self.base(logits, labels)
            )
        return loss

    def learns_in_step(self, step: int, num_steps: int) -> bool:
        """In every step, of which it is told the number: which counts, it knows itself."""
        return True

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

    def _balanced(self, logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
        self._report_unseen_classes()
        x = check_inputs(logits, labels, self.num_classes)
        targets = self.confusion.soft_targets(
            x.labels, normalized=self.base.has_exclusive_classes
        ).to(x.logits.dtype)
        weights = alpha * self.confusion.knows(x.labels).to(x.logits.dtype)
        return self.base.mix(logits, labels, targets, weights)

    def _collect(self, logits: Tensor, labels: Tensor, is_last: bool) -> None:
        """Update the confusion matrix, and count the iteration at its end."""
        if is_last or self.updates_every_step:
            wide = logits.detach()
            wide = wide if wide.dtype == torch.float64 else wide.float()
            self.confusion.update(self.base.foreground_probs(wide), labels)
        if is_last:
            self.num_iterations += 1
            self._iteration += 1

    def _check_step(self, step: int | None) -> int:
        if step is None:
            return self.num_steps - 1
        if not 0 <= step < self.num_steps:
            raise ValueError(
                f"step is {step}, but this loss has num_steps={self.num_steps}; give both the "
                "number of steps of the head."
            )
        return step

    def _report_unseen_classes(self) -> None:
        """Name, once in this process, the classes that have no soft targets yet."""
        if self._has_reported:
            return
        self._has_reported = True
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
            f"base is {type(base).__name__}, which cannot take soft targets; wrap a SoftTargetLoss "
            "such as rankdet.losses.soft_targets.SoftTargetSoftmaxLoss."
        )


def _check_schedule(
    alpha: float, num_steps: int, start_epoch: float, iterations_per_epoch: int | None
) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it is the share of the PCB term, in [0, 1].")
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; a head has at least one step.")
    if not 0 <= start_epoch < math.inf:
        raise ValueError(f"start_epoch is {start_epoch}; give a number of epochs >= 0.")
    check_epoch_length(iterations_per_epoch)
