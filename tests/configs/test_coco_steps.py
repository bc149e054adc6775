"""COCO and Cityscapes experiments train and evaluate a step on tiny data sets, at reduced size.

Those with RS are left out: they differ from BRS in the algorithm of the loss alone, as those with
BAP do from AP.
"""

import json

import pytest
from coco_fixture import forget_tiny_cityscapes, register_tiny_cityscapes, write_tiny_coco
from small_experiment import AUGMENTATIONS, ROOT, SHORT_EDGE, small_experiment

from rankdet.engine.training import train

COCO = sorted(
    path for path in (ROOT / "coco").glob("*.py") if not path.stem.endswith(("_rs", "_bap"))
)


@pytest.fixture(scope="module")
def coco_datasets(lvis_datasets):
    write_tiny_coco(lvis_datasets)


@pytest.fixture
def tiny_cityscapes(lvis_datasets):
    register_tiny_cityscapes(lvis_datasets)
    yield
    forget_tiny_cityscapes()


def evaluated_tasks(path, folder, *overrides):
    train(small_experiment(path, folder, *overrides))
    assert (folder / "inference/coco_instances_results.json").exists()
    return set(json.loads((folder / "results.json").read_text()))


@pytest.mark.slow
@pytest.mark.usefixtures("coco_datasets")
@pytest.mark.parametrize("path", COCO, ids=lambda path: path.stem)
def test_one_step_of_coco(path, tmp_path):
    size = f"{AUGMENTATIONS}.5.shape=[64,64]" if "100ep" in path.stem else SHORT_EDGE
    tasks = {"bbox", "segm"} if path.stem.startswith("mask") else {"bbox"}
    assert evaluated_tasks(path, tmp_path, size) == tasks


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
