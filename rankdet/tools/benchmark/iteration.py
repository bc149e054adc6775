"""Time of a training iteration against Detectron2's own FastRCNNOutputLayers, interleaved."""

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import LazyCall
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from omegaconf import DictConfig
from tabulate import tabulate

from rankdet.engine.arguments import whole_number
from rankdet.engine.config import load_config
from rankdet.losses.ecm import ECMLoss
from rankdet.losses.sigmoid import SigmoidBCELoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss
from rankdet.tools.benchmark.interleaved import FORMATS, HEADERS, compare, load_batches

CONFIG = "glyphs/mask_rcnn_r18_fpn.py"
PREDICTOR_ONLY = ("loss", "prior_prob", "classifier")


def main(argv: Sequence[str] | None = None) -> None:
    """Time each loss's iteration next to Detectron2's, with 36 and with 1,203 classes.

    Args:
        argv: Options; None: the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rankdet.tools.benchmark iteration", description=__doc__
    )
    parser.add_argument("--iterations", type=whole_number(2), default=60, help="per predictor")
    parser.add_argument("--classes", type=whole_number(1), nargs="+", default=[36, 1203])
    options = parser.parse_args(argv)
    rows = []
    for num_classes in options.classes:
        experiments = _experiments(num_classes)
        batches = relabel(load_batches(experiments["Detectron2"]), num_classes)
        compared = compare(experiments, batches, options.iterations)
        rows += [(num_classes, *row) for row in compared]
    headers = ("classes", "predictor", *HEADERS)
    print(tabulate(rows, headers=headers, floatfmt=("", "", *FORMATS)))


def _experiments(num_classes: int) -> dict[str, DictConfig]:
    """Detectron2's predictor, then rankdet's with each loss."""
    counts = torch.logspace(3, 0, num_classes).round()
    losses = {
        "Detectron2": None,
        "softmax CE": LazyCall(SoftmaxCrossEntropyLoss)(num_classes=num_classes),
        "sigmoid BCE": LazyCall(SigmoidBCELoss)(num_classes=num_classes),
        "ECM": LazyCall(ECMLoss)(class_counts=counts, background_ratio=4.0),
    }
    return {name: _experiment(num_classes, loss) for name, loss in losses.items()}


def _experiment(num_classes: int, loss: DictConfig | None) -> DictConfig:
    cfg = load_config(CONFIG)
    heads = cfg.model.roi_heads
    heads.num_classes = num_classes
    if loss is None:
        for name in PREDICTOR_ONLY:
            heads.box_predictor.pop(name, None)
        heads.box_predictor._target_ = FastRCNNOutputLayers
    else:
        heads.box_predictor.loss = loss
    return cfg


def relabel(batches: list[Any], num_classes: int) -> list[Any]:
    """Spread the objects over all classes."""
    for image in itertools.chain(*batches):
        labels = image["instances"].gt_classes
        image["instances"].gt_classes = torch.randint_like(labels, num_classes)
    return batches
