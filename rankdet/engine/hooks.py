"""Hooks for what a loss or a long run needs beyond Detectron2's own."""

import logging
import math
import os
import re
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer
from detectron2.utils import comm
from fvcore.common.checkpoint import Checkpointer
from torch import Tensor, nn

from rankdet.engine.batches import epoch_length
from rankdet.engine.checkpoint import NON_FINITE, last_checkpoint
from rankdet.losses import ECMLoss, EpochLoss, PCBLoss

logger = logging.getLogger(__name__)

GRADIENT = "the norm of the gradient"


class BackgroundRatioHook(HookBase):
    """Ends ECM's measurement of the background ratio and logs what was found.

    The loss itself counts the labels that the classification layer sees, over all ranks, and uses
    the running ratio from the first iteration on. After ``num_iterations`` iterations this hook
    freezes it; from then on the loss is constant. A resumed run continues the measurement where it
    was, or does not measure again.
    Logged as ``ecm/background_ratio``, or ``ecm/background_ratio/stageK`` in a cascade.

    Args:
        num_iterations: length of the measurement.

    Raises:
        ValueError: ``num_iterations`` is not positive.
    """

    def __init__(self, num_iterations: int = 100) -> None:
        if num_iterations < 1:
            raise ValueError(f"num_iterations is {num_iterations}; measure at least one iteration.")
        self.num_iterations = num_iterations

    def before_train(self) -> None:
        """Find the losses that measure."""
        losses = [m for m in self.trainer.model.modules() if isinstance(m, ECMLoss)]
        names = [f"ecm/background_ratio/stage{stage}" for stage in range(len(losses))]
        names = names if len(losses) > 1 else ["ecm/background_ratio"]
        self.measuring = {n: x for n, x in zip(names, losses, strict=False) if x.is_measuring}

    def after_step(self) -> None:
        """Freeze and log the ratios that were measured for ``num_iterations``."""
        for name, loss in list(self.measuring.items()):
            if loss.num_batches >= self.num_iterations:
                loss.freeze_background_ratio()
                ratio = self.measuring.pop(name).background_ratio.item()
                self.trainer.storage.put_scalar(name, ratio, smoothing_hint=False)
                logger.info("Froze %s at %.4f.", name, ratio)


class EpochLengthHook(HookBase):
    """Sets the epoch length of every loss that goes by epochs and was not given one.

    These are aLRP, online label smoothing and PCB. If all of them have one, the data loader is not
    asked for its length.
    """

    def before_train(self) -> None:
        """Ask the data loader, and say when PCB starts."""
        for loss in self.trainer.model.modules():
            if isinstance(loss, EpochLoss) and loss.needs_epoch_length:
                length = epoch_length(self.trainer.data_loader)
                loss.set_epoch_length(length)
                logger.info("%s: an epoch has %d iterations.", type(loss).__name__, length)
            if isinstance(loss, PCBLoss):
                self._report_start(loss)

    def _report_start(self, loss: PCBLoss) -> None:
        logger.info("PCB starts at iteration %d.", loss.start_iteration())
        if loss.start_iteration() >= self.trainer.max_iter:
            logger.warning(
                "PCB starts at iteration %d, but the training ends at %d: its soft targets are "
                "never used. Lower start_epoch or train longer.",
                loss.start_iteration(),
                self.trainer.max_iter,
            )


class CheckpointHook(PeriodicCheckpointer):
    """Writes checkpoints as Detectron2's hook does, and knows those before an interruption.

    They count for ``max_to_keep``; Detectron2's hook leaves them for ever.
    """

    def before_train(self) -> None:
        """Find the checkpoints of the iterations that lie behind."""
        super().before_train()
        names = (f"model_{i:07d}.pth" for i in self._saved_iterations())
        self.recent_checkpoints = [os.path.join(self.checkpointer.save_dir, n) for n in names]

    def _saved_iterations(self) -> list[int]:
        stems = [path.stem for path in Path(self.checkpointer.save_dir).glob("model_*.pth")]
        numbers = [int(stem[6:]) for stem in stems if re.fullmatch(r"model_\d{7}", stem)]
        return sorted(number for number in numbers if number < self.trainer.start_iter)


class EvaluationHook(EvalHook):
    """Evaluates as Detectron2's hook does, but at the start of the next iteration.

    So a run that was killed in an evaluation, and is resumed from the checkpoint before it,
    evaluates then; and the metrics bear the number of iterations that the model has behind it.
    """

    def before_step(self) -> None:
        """Evaluate after every so many iterations; the last time is after the training."""
        if self._period > 0 and self.trainer.iter > 0 and self.trainer.iter % self._period == 0:
            self._do_eval()

    def after_step(self) -> None:
        """Do nothing: the checkpoint of this iteration comes first."""

    def after_train(self) -> None:
        """Evaluate the finished run; one that is only evaluated again logs it at the same place."""
        self.trainer.storage.iter = min(self.trainer.iter, self.trainer.max_iter)
        super().after_train()


class GradientClippingHook(HookBase):
    """Scales all gradients down together when their norm is too large.

    Args:
        max_norm: largest L2 norm over all parameters.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def after_backward(self) -> None:
        """Clip the true gradients, that is after AMP's scale is taken out."""
        scaler = getattr(self.trainer, "grad_scaler", None)
        if scaler is not None:
            scaler.unscale_(self.trainer.optimizer)
        nn.utils.clip_grad_norm_(self.trainer.model.parameters(), self.max_norm)


class NonFiniteLossError(FloatingPointError):
    """A loss or gradient is NaN or infinite; the message says where, and what can be done."""


class FiniteLossHook(HookBase):
    """Stops all ranks at the first non-finite loss, with a checkpoint and a sentence.

    The checkpoint ``non_finite.pth`` holds the model that made the loss; it is for inspection, and
    ``--resume`` goes back to the last regular one.

    Args:
        checkpointer: writes the checkpoint.
    """

    def __init__(self, checkpointer: Checkpointer) -> None:
        self.checkpointer = checkpointer
        self.inputs: list[dict[str, Any]] = []
        self.losses: dict[str, Tensor] = {}

    def before_train(self) -> None:
        """Watch what goes into the model and what comes out."""
        self.handles = [
            self.trainer.model.register_forward_pre_hook(self._remember_inputs),
            self.trainer.model.register_forward_hook(self._remember_losses),
        ]

    def after_train(self) -> None:
        """Stop watching."""
        for handle in self.handles:
            handle.remove()

    def _remember_inputs(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        if model.training:
            self.inputs = args[0]

    def _remember_losses(self, model: nn.Module, args: tuple[Any, ...], losses: Any) -> None:
        if model.training:
            self.losses = losses

    def after_backward(self) -> None:
        """Check losses and gradient on all ranks, before they reach the weights.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite, or the gradient of a finite loss is. With
                AMP the gradient is not looked at: its scaler skips such steps itself.
        """
        found = {name: loss.detach().double() for name, loss in self.losses.items()}
        if getattr(self.trainer, "grad_scaler", None) is None:
            found[GRADIENT] = _gradient_norm(self.trainer.model).double()
        values = torch.stack(list(found.values()))
        num_bad = (~torch.isfinite(values)).long()  # by name, over all ranks
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(num_bad)
        if num_bad.any():
            self.checkpointer.save(NON_FINITE)
            # The end of one process ends the others, which must not hit rank 0 while it writes.
            comm.synchronize()
            numbers = dict(zip(found, values.tolist(), strict=True))
            raise self._error(_first_cause(numbers, bool(num_bad[: len(self.losses)].any())))

    def explain(self, error: FloatingPointError) -> NonFiniteLossError:
        """Write the checkpoint and the sentence for a number that Detectron2 itself stumbled on.

        Its RPN raises an error of its own as soon as proposals are not finite.

        Args:
            error: what it raised, on this rank at least.

        Returns:
            The error to raise instead.
        """
        self.checkpointer.save(NON_FINITE)
        return self._error(str(error).rstrip("."))

    def _error(self, what: str) -> NonFiniteLossError:
        last = last_checkpoint(self.checkpointer.save_dir)
        images = [x.get("image_id", x.get("file_name")) for x in self.inputs]
        return NonFiniteLossError(
            f"non-finite loss at iteration {self.trainer.iter}: {what}, images {images}; lower the "
            "learning rate, lengthen the warm-up or clip gradients, or check these images' "
            f"annotations. The model is in {NON_FINITE}.pth; --resume continues from "
            f"{last or 'the start, as there is no earlier checkpoint'}."
        )


def _first_cause(numbers: dict[str, float], is_loss: bool) -> str:
    """The losses that are not finite, on this rank or another; if none is, the gradient."""
    if not is_loss:
        return f"{GRADIENT} is {numbers[GRADIENT]}"
    bad = {n: x for n, x in numbers.items() if n != GRADIENT and not math.isfinite(x)}
    return str(bad) if bad else "on another rank"


def _gradient_norm(model: nn.Module) -> Tensor:
    """L2 norm over all gradients; clipping to infinity changes none of them."""
    return nn.utils.clip_grad_norm_(model.parameters(), math.inf)
