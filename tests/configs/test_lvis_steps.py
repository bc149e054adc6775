"""LVIS experiments train and evaluate one step on a tiny data set, at reduced size.

Of those with EQL v2, Seesaw or PCB, one of each base stands for all; one of them is on v0.5. Of
one-stage detectors, R50 for 12 epochs stands for the rest: R101 differs in the depth and 24 epochs
in the schedule.
"""

import json

import pytest
from detectron2.data.datasets import lvis_v0_5_categories
from small_experiment import ROOT, SHORT_EDGE, small_experiment

from rankdet.data.class_stats import class_counts
from rankdet.engine.training import train

SUFFIXES = ("", "_lrp")
"""Of the keys of the results: AP, optimal LRP."""

LONG_TAIL = ("_random", "_eqlv2", "_seesaw", "_pcb")
TWO_STAGE = sorted(
    path for path in (ROOT / "lvis_v1").glob("*rcnn*.py") if not path.stem.endswith(LONG_TAIL)
)
ONE_STAGE = sorted(
    path for path in (ROOT / "lvis_v1").glob("*_r50_fpn_1x*.py") if "rcnn" not in path.stem
)
CONFIGS = [
    *TWO_STAGE,
    *ONE_STAGE,
    ROOT / "lvis_v1/mask_rcnn_r50_fpn_2x_random_pcb.py",
    ROOT / "lvis_v1/mask_rcnn_r50_fpn_2x_eqlv2_pcb.py",
    ROOT / "lvis_v0_5/mask_rcnn_r50_fpn_2x_seesaw_pcb.py",
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
    cfg = small_experiment(path, tmp_path, SHORT_EDGE)
    if "rcnn" in path.stem:
        cfg.model.roi_heads.batch_size_per_image = 16
    if path.stem.endswith("_pcb"):
        cfg.model.roi_heads.box_predictor.loss.start_epoch = 0  # so that its soft targets are used
    train(cfg)
    results = json.loads((tmp_path / "results.json").read_text())
    tasks = ["bbox", "segm"] if "rcnn" in path.stem else ["bbox"]
    assert list(results) == [f"{task}{suffix}" for task in tasks for suffix in SUFFIXES]
    for metrics in (results[task] for task in tasks):
        assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"} <= set(metrics)
        assert 0 <= metrics["AP"] <= 100
    record = json.loads((tmp_path / "metrics.json").read_text().splitlines()[0])
    assert record["total_loss"] > 0
