import json
import logging
import math
from argparse import Namespace

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from support.smoke_run import OVERRIDES, ROOT, AtIteration
from support.training_runs import (
    CHECKPOINT_AFTER,
    KILLED_AT,
    TASKS,
    config,
)

from rankdet.engine import training as engine
from rankdet.engine.config import load_config
from rankdet.engine.config_schema import check_config
from rankdet.engine.hooks import BackgroundRatioHook, NonFiniteLossError
from rankdet.engine.training import build_trainer, evaluate_checkpoint, train
from rankdet.evaluation import RankdetEvaluator


def test_disk_without_room_is_found_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Namespace(free=1_000_000))
    with pytest.raises(ValueError, match=r"has room for 1 MB, but a checkpoint takes \d\d MB"):
        build_trainer(config(tmp_path))


def test_weights_are_missed_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "build_model", None)
    with pytest.raises(FileNotFoundError, match="no weights to load"):
        evaluate_checkpoint(config(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth' does not exist"):
        evaluate_checkpoint(config(tmp_path, "train.init_checkpoint=nowhere.pth"))


@pytest.mark.parametrize("config_name", ["coco/atss_r50_fpn_1x.py", "lvis_v1/fcos_r101_fpn_1x.py"])
def test_weights_of_a_backbone_alone_are_not_evaluated(config_name, monkeypatch):
    monkeypatch.setattr(engine, "build_model", None)
    with pytest.raises(FileNotFoundError, match="no weights to load"):
        evaluate_checkpoint(load_config(config_name))


def test_training_misses_its_initial_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth' does not exist"):
        build_trainer(config(tmp_path, "train.init_checkpoint=nowhere.pth"))


def test_amp_without_cuda_is_refused_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "build_model", None)
    with pytest.raises(ValueError, match=r"train.amp.enabled needs CUDA, but .* 'cpu'; set"):
        build_trainer(config(tmp_path, "train.amp.enabled=True"))


def test_other_class_count_is_refused(tmp_path):
    cfg = config(tmp_path, "model.roi_heads.num_classes=12")
    with pytest.raises(ValueError, match=r"num_classes is 12, but the loss was built for 10"):
        build_trainer(cfg)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("roi_heads.box_predictor.cls_score", r"at iteration 4: \{'loss_cls': nan\}, images \["),
        ("proposal_generator.rpn_head.anchor_deltas", r"at iteration 4: .* diverged, images \[\d"),
    ],
    ids=["found in the loss", "found by Detectron2"],
)
def test_non_finite_number_ends_the_run(tmp_path, monkeypatch, layer, message):
    def poison(trainer):
        torch.nn.init.constant_(trainer.model.get_submodule(layer).bias, torch.nan)

    trainer = build_trainer(config(tmp_path))
    trainer.register_hooks([AtIteration(KILLED_AT - 1, poison)])
    monkeypatch.setattr(engine, "build_trainer", lambda *args: trainer)
    with pytest.raises(NonFiniteLossError, match=message):
        train(config(tmp_path))
    assert (tmp_path / "non_finite.pth").exists()
    assert (tmp_path / "last_checkpoint").read_text() == f"model_{CHECKPOINT_AFTER - 1:07d}.pth"


@pytest.mark.usefixtures("lvis_datasets")
def test_pretrained_backbone_is_not_evaluated(tmp_path):
    experiment = str(ROOT / "configs/lvis_v1/mask_rcnn_r50_fpn_1x.py")
    cfg = load_config(experiment, [f"train.output_dir={tmp_path}"])
    with pytest.raises(FileNotFoundError, match=r"no weights to load; set train.init"):
        evaluate_checkpoint(cfg)


def test_evaluation_does_not_need_the_training_set(tmp_path):
    cfg = load_config(str(ROOT / "configs/glyphs/mask_rcnn_smoke.py"), OVERRIDES)
    cfg.dataloader.train.dataset.names = "not_registered"
    cfg.train.output_dir = str(tmp_path)
    torch.save(instantiate(cfg.model).state_dict(), tmp_path / "model.pth")
    cfg.train.init_checkpoint = str(tmp_path / "model.pth")
    assert set(evaluate_checkpoint(cfg)) == TASKS


def test_measurement_without_an_end_is_reported(tmp_path, caplog):
    cfg = config(tmp_path)
    cfg.hooks.pop("background_ratio")
    with caplog.at_level(logging.WARNING, logger="rankdet"):
        build_trainer(cfg)
    assert "no BackgroundRatioHook ends that" in caplog.text


@pytest.mark.gpu
def test_amp_trains_on_cuda(tmp_path):
    cfg = config(tmp_path, "train.device=cuda", "train.amp.enabled=True")
    train(cfg)
    assert (tmp_path / "results.json").exists()


def test_unknown_metric_is_null_in_the_file(tmp_path):
    engine._report({"bbox": {"AP": 12.5, "APl": math.nan}}, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "bbox": {"AP": 12.5, "APl": None}
    }


def test_several_evaluators_judge_a_model(tmp_path):
    cfg = config(tmp_path, "train.max_iter=1")
    one = cfg.dataloader.evaluator
    other = L(RankdetEvaluator)(dataset_name="glyphs_smoke_val", tasks=["bbox"], metrics=["lrp"])
    cfg.dataloader.evaluator = [{**one, "tasks": ["segm"]}, other]
    check_config(cfg)
    train(cfg)
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found) == {"segm", "segm_lrp", "bbox_lrp"}


def test_several_data_set_names(tmp_path):
    cfg = config(tmp_path)
    assert engine.dataset_names(cfg, "train") == ["glyphs_smoke_train"]
    cfg.dataloader.train.dataset.names = ["a", "b"]
    assert engine.dataset_names(cfg, "train") == ["a", "b"]


def test_hooks_come_in_the_order_of_their_work(tmp_path):
    names = [type(hook).__name__ for hook in build_trainer(config(tmp_path))._hooks]
    measured = names.index(BackgroundRatioHook.__name__)
    assert names.index("EvaluationHook") < names.index("IterationTimer")
    assert names.index("FiniteLossHook") < names.index("GradientClippingHook")
    assert measured < names.index("LRScheduler") < names.index("PeriodicWriter")
    assert names.index("PeriodicWriter") < names.index("CheckpointHook")
