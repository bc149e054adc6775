"""Experiments train and evaluate a step on tiny data sets, at reduced size.

``QUICK`` has one of each kind of detector and loss; the others, and all of COCO, are slow.
Some stand for those left out: RS differs from BRS, as AP from BAP, in the algorithm of the loss
alone. Of LVIS's experiments with EQL v2, Seesaw or PCB, one of each base stands for all; of its
one-stage detectors, R50 for 12 epochs: R101 differs in the depth and 24 epochs in the schedule.
Swin-T stands for Swin-L.
"""

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from detectron2.data.datasets import lvis_v0_5_categories
from omegaconf import DictConfig
from support.quick_experiments import QUICK
from support.small_experiment import AUGMENTATIONS, SHORT_EDGE, small_experiment
from support.smoke_run import ONE_STAGE_OVERRIDES, OVERRIDES
from support.tiny_coco import forget_tiny_cityscapes, register_tiny_cityscapes, write_tiny_coco

from rankdet.data.class_stats import class_counts
from rankdet.engine.config import load_config
from rankdet.engine.training import train

ROOT = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted(
    str(path.relative_to(ROOT).with_suffix(""))
    for path in ROOT.rglob("*.py")
    if path.parent.name in ("glyphs", "lvis_v1", "lvis_v0_5", "coco", "cityscapes")
)
LEFT_OUT = (
    *("coco/*_rs", "coco/*_bap", "lvis_v0_5/*", "lvis_v1/*_r101_fpn_1x*", "lvis_v1/atss*_2x*"),
    *("lvis_v1/fcos*_2x*", "lvis_v1/*_random*", "lvis_v1/*_eqlv2*", "lvis_v1/*_seesaw*"),
    *("lvis_v1/*_pcb", "coco/rs_detr*", "coco/*detr_swin_l", "lvis_v1/brs_detr*"),
)
STAND_FOR_THEM = (
    "lvis_v1/mask_rcnn_r50_fpn_2x_random_pcb",
    "lvis_v1/mask_rcnn_r50_fpn_2x_eqlv2_pcb",
    "lvis_v0_5/mask_rcnn_r50_fpn_2x_seesaw_pcb",
)


def is_trained(name: str) -> bool:
    return name in STAND_FOR_THEM or not any(fnmatch(name, pattern) for pattern in LEFT_OUT)


by_experiment = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in EXPERIMENTS
        if is_trained(name)
    ],
)


@pytest.fixture(scope="module")
def datasets(lvis_datasets: Path) -> Iterator[None]:
    """The tiny LVIS v1; of the same images v0.5, COCO and Cityscapes with their own classes."""
    for split in ("train", "val"):
        content = json.loads((lvis_datasets / f"lvis/lvis_v1_{split}.json").read_text())
        content["categories"] = lvis_v0_5_categories.LVIS_CATEGORIES
        (lvis_datasets / f"lvis/lvis_v0.5_{split}.json").write_text(json.dumps(content))
    write_tiny_coco(lvis_datasets)
    register_tiny_cityscapes(lvis_datasets)
    yield
    forget_tiny_cityscapes()


def reduced(name: str, folder: Path) -> DictConfig:
    """The experiment of one iteration."""
    path = ROOT / f"{name}.py"
    if name.startswith("glyphs"):
        overrides = OVERRIDES if "rcnn" in name else ONE_STAGE_OVERRIDES
        return load_config(
            str(path), [*overrides, "train.max_iter=1", f"train.output_dir={folder}"]
        )
    if name.startswith("cityscapes"):
        names = [f"dataloader.{part}.dataset.names=tiny_cityscapes_" for part in ("train", "test")]
        size = f"{AUGMENTATIONS}.0.short_edge_length=[64,80]"
        return small_experiment(path, folder, size, f"{names[0]}train", f"{names[1]}val")
    cfg = small_experiment(path, folder, _small_images(name))
    if name.startswith("lvis") and "rcnn" in name:
        cfg.model.roi_heads.batch_size_per_image = 16
    return cfg


def _small_images(name: str) -> str:
    if "100ep" in name:
        return f"{AUGMENTATIONS}.5.shape=[64,64]"
    return f"{AUGMENTATIONS}.2.short_edge_length=[64]" if "detr" in name else SHORT_EDGE


@pytest.mark.usefixtures("datasets")
@by_experiment
def test_one_step_of_training_and_evaluation(name: str, tmp_path: Path) -> None:
    cfg = reduced(name, tmp_path)
    if name.endswith("_pcb"):
        cfg.model.roi_heads.box_predictor.loss.start_epoch = 0  # so that its soft targets are used
    train(cfg)
    results = json.loads((tmp_path / "results.json").read_text())
    tasks = ["bbox", "segm"] if "mask" in name else ["bbox"]
    style = "lvis" if name.startswith(("glyphs", "lvis")) else "coco"
    suffixes = ("", "_lrp") if style == "lvis" else ("",)
    assert list(results) == [f"{task}{suffix}" for task in tasks for suffix in suffixes]
    assert (tmp_path / f"inference/{style}_instances_results.json").exists()
    if name.startswith("lvis"):
        for metrics in (results[task] for task in tasks):
            assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"} <= set(metrics)
            assert 0 <= metrics["AP"] <= 100
    record = json.loads((tmp_path / "metrics.json").read_text().splitlines()[0])
    assert record["total_loss"] > 0


@pytest.mark.usefixtures("datasets")
@pytest.mark.parametrize(("version", "num_classes"), [("v1", 1203), ("v0.5", 1230)])
def test_class_counts_are_of_the_version(version: str, num_classes: int) -> None:
    counts = class_counts(f"lvis_{version}_train")
    assert len(counts.images) == len(counts.instances) == num_classes
    assert counts.instances.sum() == 18  # three in each of six images


def test_federated_loss_takes_its_counts_from_the_training_set(tmp_path: Path) -> None:
    cfg = load_config(str(ROOT / "glyphs/mask_rcnn_smoke.py"), OVERRIDES)
    losses = LazyConfig.load(str(ROOT / "common/losses.py"))
    cfg.model.roi_heads.box_predictor.loss = losses.federated
    cfg.train.update(max_iter=1, output_dir=str(tmp_path))
    train(cfg)
    assert (tmp_path / "results.json").exists()
