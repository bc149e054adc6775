"""Training iterations of several experiments, taken in turns on the same images and compared."""

import itertools
import statistics
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig

from rankdet.tools.benchmark.report import timed

NUM_BATCHES = 8
HEADERS = ("ms (median)", "ratio (median)", "quartiles of the ratio")
FORMATS = (".1f", ".3f", "")


def load_batches(cfg: DictConfig) -> list[Any]:
    """Load the first training batches of an experiment, for all models to train on."""
    return list(itertools.islice(instantiate(cfg.dataloader.train), NUM_BATCHES))


def compare(
    experiments: Mapping[str, DictConfig], batches: list[Any], num_iterations: int
) -> list[tuple[str, float, float, str]]:
    """Train each experiment's own model in turns, and time its iterations.

    Args:
        experiments: configs by name; the first is the reference.
        batches: what all of them train on, over and over.
        num_iterations: iterations of each, after one to warm up.

    Returns:
        For each its name and what :data:`HEADERS` says. Ratios are taken within a round, so that a
        busy moment hits both sides of them.
    """
    trainers = {name: _trainer(cfg, batches) for name, cfg in experiments.items()}
    seconds = _take_turns(trainers, num_iterations)
    reference = next(iter(seconds.values()))
    return [(name, *_summary(values, reference)) for name, values in seconds.items()]


def _trainer(cfg: DictConfig, batches: list[Any]) -> SimpleTrainer:
    cfg = cfg.copy()
    torch.manual_seed(0)
    model = instantiate(cfg.model).to(cfg.train.device)
    cfg.optimizer.params.model = model
    trainer = SimpleTrainer(model, itertools.cycle(batches), instantiate(cfg.optimizer))
    trainer.iter, trainer.storage = 0, None
    return trainer


def _take_turns(
    trainers: Mapping[str, SimpleTrainer], num_iterations: int
) -> dict[str, list[float]]:
    """Seconds of each in each round; the order turns so that none is always first."""
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    names = list(trainers)
    with EventStorage() as storage:
        for trainer in trainers.values():  # warm-up: allocations, first use of kernels
            trainer.run_step()
        for index in range(num_iterations):
            storage.iter = index
            for name in names[index % len(names) :] + names[: index % len(names)]:
                seconds[name].append(timed(trainers[name].run_step))
    return seconds


def _summary(values: list[float], reference: list[float]) -> tuple[float, float, str]:
    ratios = [a / b for a, b in zip(values, reference, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return 1000 * statistics.median(values), middle, f"{low:.3f} - {high:.3f}"
