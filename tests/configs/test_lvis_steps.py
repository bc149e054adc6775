"""LVIS experiments train and evaluate one step on a tiny data set, at reduced size.

Of those with EQL v2, Seesaw or PCB, one of each base stands for all; one of them is on v0.5.
"""

import json
from pathlib import Path

import pytest
from detectron2.data.datasets import lvis_v0_5_categories

from rankdet.data.class_stats import class_counts
from rankdet.engine.config import load_config
from rankdet.engine.train import train

ROOT = Path(__file__).parents[2]
LONG_TAIL = ("_random", "_eqlv2", "_seesaw", "_pcb")
CONFIGS = [
    *sorted(
        path
        for path in (ROOT / "configs/lvis_v1").glob("*.py")
        if not path.stem.endswith(LONG_TAIL)
    ),
    ROOT / "configs/lvis_v1/mask_rcnn_r50_fpn_2x_random_pcb.py",
    ROOT / "configs/lvis_v1/mask_rcnn_r50_fpn_2x_eqlv2_pcb.py",
    ROOT / "configs/lvis_v0_5/mask_rcnn_r50_fpn_2x_seesaw_pcb.py",
]

SMALL = [
    "train.device=cpu",
    "train.max_iter=1",
    "train.init_checkpoint=''",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.train.mapper.augmentations.0.short_edge_length=[64]",
    "dataloader.test.mapper.augmentations.0.short_edge_length=64",
    "model.proposal_generator.post_nms_topk=[40,20]",
    "model.roi_heads.batch_size_per_image=16",
]


@pytest.fixture(scope="module")
def both_lvis_datasets(lvis_datasets):
    """The tiny LVIS v1, and v0.5 of the same images with the classes of v0.5."""
    for split in ("train", "val"):
        content = json.loads((lvis_datasets / f"lvis/lvis_v1_{split}.json").read_text())
        content["categories"] = lvis_v0_5_categories.LVIS_CATEGORIES
        (lvis_datasets / f"lvis/lvis_v0.5_{split}.json").write_text(json.dumps(content))


@pytest.mark.usefixtures("both_lvis_datasets")
@pytest.mark.parametrize(("version", "num_classes"), [("v1", 1203), ("v0.5", 1230)])
def test_class_counts_are_of_the_version(version, num_classes):
    counts = class_counts(f"lvis_{version}_train")
    assert len(counts.images) == len(counts.instances) == num_classes
    assert counts.instances.sum() == 18  # three in each of six images


@pytest.mark.slow
@pytest.mark.usefixtures("both_lvis_datasets")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_one_step_of_training_and_evaluation(path, tmp_path):
    cfg = load_config(str(path), [*SMALL, f"train.output_dir={tmp_path}"])
    heads = cfg.model.roi_heads
    for predictor in heads.get("box_predictors") or [heads.box_predictor]:
        predictor.test_topk_per_image = 5  # masks of 300 would take most of the time
    if path.stem.endswith("_pcb"):
        heads.box_predictor.loss.start_epoch = 0  # so that its soft targets are used
    train(cfg)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == {"bbox", "segm"}
    for metrics in results.values():
        assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"} == set(metrics)
        assert 0 <= metrics["AP"] <= 100
    record = json.loads((tmp_path / "metrics.json").read_text().splitlines()[0])
    assert record["total_loss"] > 0
