"""Time of a training iteration against Detectron2's own FastRCNNOutputLayers, interleaved."""

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import LazyCall, instantiate
from detectron2.engine import SimpleTrainer
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig
from tabulate import tabulate

from rankdet.engine.config import load_config
from rankdet.losses.ecm import ECMLoss
from rankdet.losses.sigmoid import SigmoidBCELoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss
from rankdet.tools.benchmark.report import timed

CONFIG = Path(__file__).parents[3] / "configs/glyphs/mask_rcnn_r18_fpn.py"
PREDICTOR_ONLY = ("loss", "prior_prob", "classifier")
NUM_BATCHES = 8


def main(argv: Sequence[str] | None = None) -> None:
    """Time each loss's iteration next to Detectron2's, with 36 and with 1,203 classes.

    Args:
        argv: Options; None: the command line.
    """
    parser = argparse.ArgumentParser(prog="iteration", description=__doc__)
    parser.add_argument("--iterations", type=int, default=60, help="iterations per predictor")
    parser.add_argument("--classes", type=int, nargs="+", default=[36, 1203])
    options = parser.parse_args(argv)
    rows = []
    for num_classes in options.classes:
        seconds = _interleave(_steps(num_classes), options.iterations)
        rows += [(num_classes, *row) for row in _summarize(seconds)]
    headers = ("classes", "predictor", "ms (median)", "ratio (median)", "quartiles of the ratio")
    print(tabulate(rows, headers=headers, floatfmt=("", "", ".1f", ".3f", "")))


def _steps(num_classes: int) -> dict[str, Callable[[], None]]:
    """One function per predictor that trains its own copy of the model on the same images."""
    cfg = load_config(str(CONFIG))
    batches = _batches(cfg, num_classes)
    counts = torch.logspace(3, 0, num_classes).round()
    losses = {
        "Detectron2": None,
        "softmax CE": LazyCall(SoftmaxCrossEntropyLoss)(num_classes=num_classes),
        "sigmoid BCE": LazyCall(SigmoidBCELoss)(num_classes=num_classes),
        "ECM": LazyCall(ECMLoss)(class_counts=counts, background_ratio=4.0),
    }
    return {
        name: _trainer(cfg, num_classes, loss, itertools.cycle(batches)).run_step
        for name, loss in losses.items()
    }


def _batches(cfg: DictConfig, num_classes: int) -> list[Any]:
    loader = instantiate(cfg.dataloader.train)
    batches = list(itertools.islice(loader, NUM_BATCHES))
    for image in itertools.chain(*batches):
        labels = image["instances"].gt_classes
        image["instances"].gt_classes = torch.randint_like(labels, num_classes)
    return batches


def _trainer(
    cfg: DictConfig, num_classes: int, loss: DictConfig | None, batches: Iterator[Any]
) -> SimpleTrainer:
    cfg = cfg.copy()
    heads = cfg.model.roi_heads
    heads.num_classes = num_classes
    if loss is None:
        for name in PREDICTOR_ONLY:
            heads.box_predictor.pop(name, None)
        heads.box_predictor._target_ = FastRCNNOutputLayers
    else:
        heads.box_predictor.loss = loss
    torch.manual_seed(0)
    model = instantiate(cfg.model).to(cfg.train.device)
    cfg.optimizer.params.model = model
    trainer = SimpleTrainer(model, batches, instantiate(cfg.optimizer))
    trainer.iter, trainer.storage = 0, None
    return trainer


def _interleave(
    steps: dict[str, Callable[[], None]], num_iterations: int
) -> dict[str, list[float]]:
    """Seconds of each step in each round; the order turns so that none is always first."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    with EventStorage() as storage:
        for step in steps.values():  # warm-up: allocations, first use of kernels
            step()
        for index in range(num_iterations):
            storage.iter = index
            for name in names[index % len(names) :] + names[: index % len(names)]:
                seconds[name].append(timed(steps[name]))
    return seconds


def _summarize(seconds: dict[str, list[float]]) -> list[tuple[str, float, float, str]]:
    """Ratios are taken within a round, so that a busy moment hits both sides of them."""
    reference = next(iter(seconds.values()))
    rows = []
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(values, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rows.append((name, 1000 * statistics.median(values), middle, f"{low:.3f} - {high:.3f}"))
    return rows
