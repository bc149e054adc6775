"""Time of a training iteration of each one-stage detector with each loss against its default."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig
from tabulate import tabulate

from rankdet.engine.arguments import whole_number
from rankdet.engine.config import load_config
from rankdet.shipped_configs import configs_folder
from rankdet.tools.benchmark.interleaved import FORMATS, HEADERS, compare, load_batches

CONFIGS = configs_folder()
# The default loss of each detector.
DETECTORS = {
    **dict.fromkeys(("retinanet", "fcos", "atss", "paa"), "focal"),
    "varifocalnet": "varifocal",
}
# Names of configs/common/dense_losses.py. In lower case the keys end the names of experiments.
LOSSES = {
    "focal": "focal",
    "varifocal": "varifocal",
    "QFL": "quality_focal",
    "focal-ECM": "focal_ecm",
    "varifocal-ECM": "varifocal_ecm",
    "AP": "ap",
    "BAP": "bucketed_ap",
    "aLRP": "alrp",
    "RS": "rank_sort",
    "BRS": "bucketed_rank_sort",
}
WHOLE = " config"  # Ends the name of an experiment that differs in more than the loss.


def main(argv: Sequence[str] | None = None) -> None:
    """Time the one-stage detectors of glyphs on 1.2 million logits, three times their usual batch.

    Ratios are to the same detector with its default loss, where only the loss differs: head,
    anchors, assignment, box loss and quality are the default's. Where there is an experiment with
    this loss that changes more, a further column has its ratio.

    Args:
        argv: Options; None: the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rankdet.tools.benchmark dense_iteration", description=__doc__
    )
    parser.add_argument("--iterations", type=whole_number(2), default=40, help="per loss")
    parser.add_argument(
        "--images", type=whole_number(1), default=24, help="in a batch; default: 24"
    )
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    options = parser.parse_args(argv)
    headers = ("loss", *HEADERS, "whole config")
    for detector in options.detectors:
        experiments = _experiments(detector, options.images)
        default = next(iter(experiments.values()))
        batches = load_batches(default)
        num_logits = count_logits(default, batches[0])
        print(
            f"\n{detector}: {num_logits:,} logits, {options.images} images in a batch", flush=True
        )
        rows = _beside(compare(experiments, batches, options.iterations))
        print(tabulate(rows, headers=headers, floatfmt=("", *FORMATS, "")), flush=True)


def count_logits(cfg: DictConfig, batch: list[Any]) -> int:
    """Number of logits that the detector predicts for a batch, all images and classes together.

    Args:
        cfg: an experiment.
        batch: images of its data loader.

    Returns:
        I A C.
    """
    model = instantiate(cfg.model)
    with torch.no_grad():
        images = model.preprocess_image(batch)
        features = model.backbone(images.tensor)
        anchors = model.anchor_generator([features[name] for name in model.head_in_features])
    return len(batch) * sum(map(len, anchors)) * model.num_classes


def _experiments(detector: str, num_images: int) -> dict[str, DictConfig]:
    """The default first; each loss in the default's place, and the loss's own experiment."""
    parts = LazyConfig.load(str(CONFIGS / "common/dense_losses.py"))
    stem = f"glyphs/{detector}_r18_fpn"
    default = _load(CONFIGS / f"{stem}.py", num_images)
    experiments = {DETECTORS[detector]: default}
    for name, part in LOSSES.items():
        experiments.setdefault(name, _with_loss(default, parts[part]))
        path = CONFIGS / f"{stem}_{name.lower()}.py"
        if path.is_file():
            experiments[name + WHOLE] = _load(path, num_images)
    return experiments


def _load(path: Path, num_images: int) -> DictConfig:
    cfg = load_config(str(path))
    cfg.dataloader.train.total_batch_size = num_images
    return cfg


def _with_loss(default: DictConfig, loss: DictConfig) -> DictConfig:
    cfg = default.copy()
    cfg.model.loss = loss
    return cfg


def _beside(rows: Sequence[tuple[str, float, float, str]]) -> list[tuple[str | float, ...]]:
    """Turn the rows of whole experiments into a further column of the rows of their losses."""
    whole = {name: f"{ratio:.3f} ({quartiles})" for name, _, ratio, quartiles in rows}
    return [(*row, whole.get(row[0] + WHOLE, "")) for row in rows if not row[0].endswith(WHOLE)]
