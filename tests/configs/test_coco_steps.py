"""COCO and Cityscapes experiments train and evaluate a step on tiny data sets, at reduced size.

Those with RS Loss are left out: they differ from BRS in the algorithm of the loss alone.
"""

import json
from pathlib import Path

import pytest
from coco_fixture import forget_tiny_cityscapes, register_tiny_cityscapes, write_tiny_coco

from rankdet.engine.config import load_config
from rankdet.engine.train import train

ROOT = Path(__file__).parents[2] / "configs"
COCO = sorted(path for path in (ROOT / "coco").glob("*.py") if not path.stem.endswith("_rs"))

SMALL = [
    "train.device=cpu",
    "train.max_iter=1",
    "train.init_checkpoint=''",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.augmentations.0.short_edge_length=64",
    "model.proposal_generator.post_nms_topk=[40,20]",
]
AUGMENTATIONS = "dataloader.train.mapper.augmentations"


@pytest.fixture(scope="module")
def coco_datasets(lvis_datasets):
    write_tiny_coco(lvis_datasets)


@pytest.fixture
def tiny_cityscapes(lvis_datasets):
    register_tiny_cityscapes(lvis_datasets)
    yield
    forget_tiny_cityscapes()


def evaluated_tasks(path, folder, *overrides):
    cfg = load_config(str(path), [*SMALL, f"train.output_dir={folder}", *overrides])
    heads = cfg.model.roi_heads
    for predictor in heads.get("box_predictors") or [heads.box_predictor]:
        predictor.test_topk_per_image = 5  # masks of 100 would take most of the time
    train(cfg)
    assert (folder / "inference/coco_instances_results.json").exists()
    return set(json.loads((folder / "results.json").read_text()))


@pytest.mark.slow
@pytest.mark.usefixtures("coco_datasets")
@pytest.mark.parametrize("path", COCO, ids=lambda path: path.stem)
def test_one_step_of_coco(path, tmp_path):
    is_alrp = path.stem.endswith("alrp")
    size = "5.shape=[64,64]" if is_alrp else "0.short_edge_length=[64]"
    tasks = {"bbox", "segm"} if path.stem.startswith("mask") else {"bbox"}
    assert evaluated_tasks(path, tmp_path, f"{AUGMENTATIONS}.{size}") == tasks


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_cityscapes")
def test_one_step_of_cityscapes(tmp_path):
    names = [
        "dataloader.train.dataset.names=tiny_cityscapes_train",
        "dataloader.test.dataset.names=tiny_cityscapes_val",
    ]
    path = ROOT / "cityscapes/mask_rcnn_r50_fpn_brs.py"
    size = f"{AUGMENTATIONS}.0.short_edge_length=[64,80]"
    assert evaluated_tasks(path, tmp_path, size, *names) == {"bbox", "segm"}
