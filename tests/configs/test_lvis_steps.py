"""Every LVIS experiment trains and evaluates one step on a tiny data set, at reduced size."""

import json
from pathlib import Path

import pytest

from rankdet.engine.config import load_config
from rankdet.engine.train import train

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs/lvis_v1").glob("*.py"))

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


@pytest.mark.slow
@pytest.mark.usefixtures("lvis_datasets")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_step_of_training_and_evaluation(path, tmp_path):
    cfg = load_config(str(path), [*SMALL, f"train.output_dir={tmp_path}"])
    heads = cfg.model.roi_heads
    for predictor in heads.get("box_predictors") or [heads.box_predictor]:
        predictor.test_topk_per_image = 5  # masks of 300 would take most of the time
    train(cfg)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == {"bbox", "segm"}
    for metrics in results.values():
        assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"} == set(metrics)
        assert 0 <= metrics["AP"] <= 100
    record = json.loads((tmp_path / "metrics.json").read_text().splitlines()[0])
    assert record["total_loss"] > 0
