"""Where a training starts: at its last checkpoint, or with initial weights."""

import logging

from detectron2.engine import SimpleTrainer
from omegaconf import DictConfig

from rankdet.engine.checkpoint import Checkpointer, ensure_checkpoint, last_checkpoint

logger = logging.getLogger(__name__)


def ensure_start(cfg: DictConfig, resume: bool) -> None:
    """Check that the checkpoint or the weights to start from exist, before any other work.

    Args:
        cfg: experiment.
        resume: continue from the last checkpoint in ``train.output_dir``, if there is one.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    last = last_checkpoint(cfg.train.output_dir) if resume else None
    if last or cfg.train.init_checkpoint:
        ensure_checkpoint(last or cfg.train.init_checkpoint)


def load_start(
    cfg: DictConfig, trainer: SimpleTrainer, checkpointer: Checkpointer, resume: bool
) -> int:
    """Load the last checkpoint or the initial weights.

    Args:
        cfg: experiment.
        trainer: whose state is restored.
        checkpointer: of the trainer and its model.
        resume: continue from the last checkpoint in ``train.output_dir``, if there is one.

    Returns:
        The iteration to start with.

    Raises:
        ValueError: the checkpoint is of another model, or of more iterations than the training has.
        FileNotFoundError: there are no such weights.
    """
    last = last_checkpoint(cfg.train.output_dir) if resume else None
    start_iter = 0
    if last is not None:
        checkpointer.load_strictly(last)
        start_iter = int(trainer.iter) + 1
        _ensure_reachable_end(cfg, start_iter)
        if start_iter == cfg.train.max_iter:
            checkpointer.copy_as_final(last)  # A kill can come before this file.
    else:
        if resume:
            logger.warning("%s holds no checkpoint: starts at iteration 0.", cfg.train.output_dir)
        checkpointer.load(cfg.train.init_checkpoint, checkpointables=[])
    return start_iter


def _ensure_reachable_end(cfg: DictConfig, start_iter: int) -> None:
    if start_iter > cfg.train.max_iter:
        raise ValueError(
            f"the run in {cfg.train.output_dir} has {start_iter} iterations behind it, more than "
            f"train.max_iter={cfg.train.max_iter}; give {start_iter} or more, or start in another "
            "folder."
        )


def checkpoint_bytes(trainer: SimpleTrainer) -> int:
    """Least size of a checkpoint: the model, and what the optimizer keeps of each weight."""
    defaults = trainer.optimizer.defaults
    copies = 2 if "betas" in defaults else int(bool(defaults.get("momentum")))
    trained = (p for group in trainer.optimizer.param_groups for p in group["params"])
    tensors = [*trainer.model.state_dict().values(), *(copies * list(trained))]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
