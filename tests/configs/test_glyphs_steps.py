"""Every glyphs experiment trains and evaluates a step on the smallest data set."""

import json

import pytest
from detectron2.config import LazyConfig
from smoke_run import ONE_STAGE_OVERRIDES, OVERRIDES, ROOT

from rankdet.engine.config import load_config
from rankdet.engine.training import train

CONFIGS = sorted((ROOT / "configs/glyphs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_step_of_training_and_evaluation(path, tmp_path):
    overrides = OVERRIDES if "rcnn" in path.stem else ONE_STAGE_OVERRIDES
    cfg = load_config(str(path), [*overrides, "train.max_iter=1", f"train.output_dir={tmp_path}"])
    if path.stem.endswith("_pcb"):
        cfg.model.roi_heads.box_predictor.loss.start_epoch = 0  # so that its soft targets are used
    train(cfg)
    tasks = ["bbox", "segm"] if path.stem.startswith("mask") else ["bbox"]
    results = json.loads((tmp_path / "results.json").read_text())
    keys = [f"{task}{suffix}" for task in tasks for suffix in ("", "_lrp")]
    assert list(results) == keys


def test_federated_loss_takes_its_counts_from_the_training_set(tmp_path):
    cfg = load_config(str(ROOT / "configs/glyphs/mask_rcnn_smoke.py"), OVERRIDES)
    losses = LazyConfig.load(str(ROOT / "configs/common/losses.py"))
    cfg.model.roi_heads.box_predictor.loss = losses.federated
    cfg.train.update(max_iter=1, output_dir=str(tmp_path))
    train(cfg)
    assert (tmp_path / "results.json").exists()
