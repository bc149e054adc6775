"""Training and evaluating a LazyConfig with Detectron2's trainers and hooks."""

import json
import logging
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.engine import AMPTrainer, HookBase, SimpleTrainer, default_writers
from detectron2.engine import hooks as d2_hooks
from detectron2.engine.defaults import create_ddp_model
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig, ListConfig
from tabulate import tabulate
from torch import nn

from rankdet.data.atomic_file import write_atomically
from rankdet.engine.batches import training_batches
from rankdet.engine.build import build, explained
from rankdet.engine.checkpoint import Checkpointer, ensure_checkpoint, last_checkpoint
from rankdet.engine.checks import check_datasets, check_device, on_main_process
from rankdet.engine.hooks import (
    BackgroundRatioHook,
    CheckpointHook,
    EpochLengthHook,
    EvaluationHook,
    FiniteLossHook,
    NonFiniteLossError,
)
from rankdet.engine.imagenet_weights import is_imagenet
from rankdet.engine.output_folder import (
    RESULTS_FILE,
    drop_later_metrics,
    ensure_space,
    explained_writing,
)
from rankdet.engine.resume import checkpoint_bytes, ensure_start, load_start
from rankdet.losses import ECMLoss, EpochLoss

logger = logging.getLogger(__name__)

Metrics = dict[str, dict[str, float]]
SPLITS = ("train", "test")


def build_model(cfg: DictConfig, splits: Sequence[str] = ("train", "test")) -> nn.Module:
    """Build the model on its device, and check that it fits the data sets.

    Args:
        cfg: experiment from :func:`rankdet.engine.config.load_config`.
        splits: whose data sets must be there; ECM counts those of "train" in any case.

    Returns:
        The model, randomly initialized.

    Raises:
        ValueError: this machine lacks ``train.device``, or see
            :func:`rankdet.engine.checks.check_datasets`.
        FileNotFoundError: see there, too.
    """
    check_device(cfg.train.device)
    model: nn.Module = build(cfg, "model")
    names = {split: dataset_names(cfg, split) if split in splits else [] for split in SPLITS}
    mapper = cfg.dataloader.train.get("mapper") if "train" in splits else None
    check_datasets(model, names["train"], names["test"], mapper)
    return model.to(cfg.train.device)


def dataset_names(cfg: DictConfig, split: str) -> list[str]:
    """Names of the data sets of ``dataloader.train`` or ``dataloader.test``."""
    names = cfg.dataloader[split].dataset.names
    return list(names) if isinstance(names, list | ListConfig) else [names]


def evaluate(cfg: DictConfig, model: nn.Module) -> Metrics:
    """Evaluate on ``dataloader.test``; logs a table and writes ``results.json``.

    Args:
        cfg: experiment.
        model: detector, in DistributedDataParallel or not; its mode is restored afterwards.

    Returns:
        Task ("bbox", "segm_lrp", ...) to metric to value, in percent (correlations: from -1
        to 1); empty on ranks other than 0.
    """
    _share_buffers(model)
    loader, evaluator = build(cfg, "dataloader.test"), build(cfg, "dataloader.evaluator")
    results = inference_on_dataset(model, loader, evaluator) or {}
    if comm.is_main_process():
        _report(results, Path(cfg.train.output_dir, RESULTS_FILE))
    return results


def evaluate_checkpoint(cfg: DictConfig, resume: bool = False) -> Metrics:
    """Evaluate saved weights: ``train.init_checkpoint``, or the last checkpoint of the run.

    Args:
        cfg: experiment.
        resume: take the last checkpoint in ``train.output_dir``.

    Returns:
        See :func:`evaluate`.

    Raises:
        FileNotFoundError: no weights are named, or the file does not exist.
        ValueError: the weights are of another model.
    """
    last = last_checkpoint(cfg.train.output_dir) if resume else None
    is_trained = not is_imagenet(cfg.train.init_checkpoint)
    path = ensure_checkpoint(last or (cfg.train.init_checkpoint if is_trained else ""))
    model = build_model(cfg, splits=["test"])
    Checkpointer(model).load_strictly(path)
    return evaluate(cfg, create_ddp_model(model, **ddp_options(cfg)))


def train(cfg: DictConfig, resume: bool = False) -> None:
    """Train, evaluate at the end, and leave everything in ``train.output_dir``.

    Args:
        cfg: experiment.
        resume: continue from the last checkpoint in ``train.output_dir``, if there is one.

    Raises:
        NonFiniteLossError: a loss, or what it is computed from, became NaN or infinite.
        ValueError: nothing can be written any more, for instance on a full disk.
    """
    trainer = build_trainer(cfg, resume)
    try:
        with explained_writing(Path(cfg.train.output_dir)):
            trainer.train(trainer.start_iter, cfg.train.max_iter)
    except NonFiniteLossError:
        raise
    except FloatingPointError as error:
        raise trainer.finite_loss.explain(error) from error


def build_trainer(cfg: DictConfig, resume: bool = False) -> SimpleTrainer:
    """Build model, data, optimizer and hooks, and load the weights to start from.

    Args:
        cfg: experiment.
        resume: continue from the last checkpoint in ``train.output_dir``, if there is one.

    Returns:
        A trainer whose ``start_iter`` is the iteration to continue with, and whose ``finite_loss``
        is its :class:`FiniteLossHook`.

    Raises:
        ValueError: AMP without CUDA, a checkpoint of another model, or one with more iterations
            than ``train.max_iter``, a part that can't be built, or a disk without room for a
            checkpoint.
        FileNotFoundError: the weights to start from do not exist.
    """
    _check_amp(cfg)
    ensure_start(cfg, resume)
    on_main_process(lambda: _check_evaluator(cfg))
    model = build_model(cfg)
    trainer = _build_trainer(cfg, model)
    checkpointer = Checkpointer(model, cfg.train.output_dir, trainer=trainer)
    trainer.finite_loss = FiniteLossHook(checkpointer)
    trainer.register_hooks(_build_hooks(cfg, trainer))
    on_main_process(lambda: ensure_space(Path(cfg.train.output_dir), checkpoint_bytes(trainer)))
    trainer.start_iter = load_start(cfg, trainer, checkpointer, resume)
    if comm.is_main_process():
        trainer.register_hooks(_build_writing_hooks(cfg, trainer.start_iter, checkpointer))
    _warn_of_missing_hooks(trainer)
    trainer.data_loader = explained(
        "dataloader.train",
        lambda: training_batches(cfg.dataloader.train, cfg.train.seed, trainer.start_iter),
    )
    return trainer


def _share_buffers(model: nn.Module) -> None:
    """Copy rank 0's batch-norm statistics, which checkpoints hold, to all ranks."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _report(results: Metrics, path: Path) -> None:
    rows = [{"task": task, **values} for task, values in results.items()]
    tables = [
        tabulate(list(group), headers="keys", floatfmt=".2f")
        for _, group in groupby(rows, key=list)
    ]
    logger.info("Results:\n%s", "\n\n".join(tables))
    # A metric over classes or sizes that the data set lacks is NaN, which JSON does not know.
    known = {
        t: {k: v if math.isfinite(v) else None for k, v in r.items()} for t, r in results.items()
    }
    write_atomically(path, json.dumps(known, indent=1) + "\n")


def ddp_options(cfg: DictConfig) -> dict[str, Any]:
    """Options of DistributedDataParallel from ``train.ddp``; on CPU it takes no device ids."""
    return {**cfg.train.ddp, **({} if _is_cuda(cfg) else {"device_ids": None})}


def _is_cuda(cfg: DictConfig) -> bool:
    return torch.device(cfg.train.device).type == "cuda"


def _check_amp(cfg: DictConfig) -> None:
    if cfg.train.amp.enabled and not _is_cuda(cfg):
        raise ValueError(
            f"train.amp.enabled needs CUDA, but train.device is {cfg.train.device!r}; set "
            "train.amp.enabled=False."
        )


def _build_trainer(cfg: DictConfig, model: nn.Module) -> SimpleTrainer:
    optimizer_cfg = cfg.optimizer.copy()
    optimizer_cfg.params.model = model
    optimizer = explained("optimizer", lambda: instantiate(optimizer_cfg))
    trainer_class = AMPTrainer if cfg.train.amp.enabled else SimpleTrainer
    return trainer_class(create_ddp_model(model, **ddp_options(cfg)), None, optimizer)


def _build_hooks(cfg: DictConfig, trainer: SimpleTrainer) -> list[HookBase]:
    """All hooks that do not write, in the order in which they run."""
    return [
        EvaluationHook(cfg.train.eval_period, lambda: evaluate(cfg, trainer.model)),
        d2_hooks.IterationTimer(),
        trainer.finite_loss,
        *(_build_of_kind(cfg, f"hooks.{name}", HookBase) for name in cfg.get("hooks", {})),
        d2_hooks.LRScheduler(scheduler=_build_of_kind(cfg, "lr_multiplier", ParamScheduler)),
    ]


def _check_evaluator(cfg: DictConfig) -> None:
    """Build the evaluator once before the training, so that its errors come early."""
    found = build(cfg, "dataloader.evaluator")
    for one in found if isinstance(found, ListConfig | list) else [found]:
        _check_kind("dataloader.evaluator", one, DatasetEvaluator)


def _build_of_kind(cfg: DictConfig, key: str, kind: type) -> Any:
    part = build(cfg, key)
    _check_kind(key, part, kind)
    return part


def _check_kind(key: str, part: object, kind: type) -> None:
    if not isinstance(part, kind):
        raise ValueError(f"{key} is a {type(part).__name__}; give a {kind.__name__}.")


def _build_writing_hooks(
    cfg: DictConfig, start_iter: int, checkpointer: Checkpointer
) -> list[HookBase]:
    """Metrics before the checkpoint: a resumed run does not repeat iterations for lost metrics."""
    drop_later_metrics(Path(cfg.train.output_dir), start_iter)
    writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
    return [
        d2_hooks.PeriodicWriter(writers, period=cfg.train.log_period),
        CheckpointHook(checkpointer, **cfg.train.checkpointer),
    ]


def _warn_of_missing_hooks(trainer: SimpleTrainer) -> None:
    losses = list(trainer.model.modules())
    is_measuring = any(isinstance(loss, ECMLoss) and loss.is_measuring for loss in losses)
    if is_measuring and not _has_hook(trainer, BackgroundRatioHook):
        logger.warning(
            "ECMLoss measures the background ratio, but no BackgroundRatioHook ends that: the loss "
            "follows the ratio for the whole training. Add the hook, or set background_ratio."
        )
    going_by_epochs = [loss for loss in losses if isinstance(loss, EpochLoss)]
    waiting = sorted({type(x).__name__ for x in going_by_epochs if x.needs_epoch_length})
    if waiting and not _has_hook(trainer, EpochLengthHook):
        logger.warning(
            "%s does not know the length of an epoch: PCB starts at once, others keep their first "
            "state for the whole training. Add the EpochLengthHook, or set iterations_per_epoch.",
            " and ".join(waiting),
        )


def _has_hook(trainer: SimpleTrainer, kind: type[HookBase]) -> bool:
    return any(isinstance(hook, kind) for hook in trainer._hooks)
