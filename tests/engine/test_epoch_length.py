"""The length of an epoch, told by the data loader: to aLRP, online label smoothing and PCB."""

import logging

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.data import build_detection_train_loader
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.engine import SimpleTrainer
from detectron2.engine.hooks import EvalHook
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from omegaconf import OmegaConf
from support.smoke_run import AtIteration, smoke_config
from torch import nn

from rankdet.engine.batches import epoch_length, training_batches
from rankdet.engine.hooks import EpochLengthHook
from rankdet.engine.training import build_trainer
from rankdet.losses import SoftmaxCrossEntropyLoss
from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.label_smoothing import OnlineLabelSmoothingLoss
from rankdet.losses.pcb import PCBLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.unsampled_roi_heads import UnsampledROIHeads


def images(count):
    return [{"image_id": index, "width": 8, "height": 8} for index in range(count)]


def loader_config(count, **options):
    defaults = {"dataset": images(count), "mapper": lambda x: x, "total_batch_size": 2}
    return OmegaConf.create(
        L(build_detection_train_loader)(**{**defaults, **options}), flags={"allow_objects": True}
    )


@pytest.mark.parametrize("grouping", [False, True])
@pytest.mark.parametrize(("count", "expected"), [(7, 4), (8, 4), (1, 1)])
def test_length_is_that_of_the_data_set_over_the_batch(count, expected, grouping):
    cfg = loader_config(count, aspect_ratio_grouping=grouping)
    assert epoch_length(training_batches(cfg, seed=0, start_iter=0)) == expected
    assert epoch_length(training_batches(cfg, seed=0, start_iter=9)) == expected


def test_repeated_images_count_once():
    sampler = RepeatFactorTrainingSampler(torch.full((8,), 3.0))
    assert epoch_length(training_batches(loader_config(8, sampler=sampler), 0, 0)) == 4


def test_all_ranks_count(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr("detectron2.data.build.get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "all_gather", lambda x: [x])
    cfg = loader_config(9, total_batch_size=4)
    assert epoch_length(training_batches(cfg, seed=0, start_iter=0)) == 3


def test_a_loader_without_a_length_is_named():
    with pytest.raises(
        ValueError,
        match=r"loader list does not tell .* PCB\) iterations_per_epoch",
    ):
        epoch_length([[{}]])


def trainer_of(*losses, batches):
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))
            self.losses = nn.ModuleList(losses)

        def forward(self, batch):
            return {"loss": self.weight}

    model = Root()
    trainer = SimpleTrainer(model, batches, torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.register_hooks([EpochLengthHook()])
    return trainer


def test_hook_tells_every_loss_whose_period_is_open():
    online = OnlineLabelSmoothingLoss
    losses = [
        ALRPLoss(3),
        online(1),
        ALRPLoss(3, iterations_per_epoch=11),
        online(3, iterations_per_epoch=12),
    ]
    trainer_of(*losses, batches=training_batches(loader_config(7), 0, 0)).train(0, 1)
    assert [loss.iterations_per_epoch for loss in losses] == [4, 4, 11, 12]


def pcb(**options):
    return PCBLoss(SoftmaxCrossEntropyLoss(3), **{"start_epoch": 1.5, **options})


def test_hook_tells_every_pcb_loss_that_waits_for_epochs(caplog):
    losses = [pcb(), pcb(iterations_per_epoch=2), pcb(start_epoch=0)]
    trainer = trainer_of(*losses, batches=training_batches(loader_config(7), 0, 0))
    with caplog.at_level(logging.INFO, logger="rankdet"):
        trainer.train(0, 7)
    assert [loss.iterations_per_epoch for loss in losses] == [4, 2, None]
    logged = [r.getMessage() for r in caplog.records if r.name.startswith("rankdet")]
    starts = [f"PCB starts at iteration {start}." for start in (6, 3, 0)]
    assert logged == ["PCBLoss: an epoch has 4 iterations.", *starts]


def test_a_start_after_the_end_of_the_training_is_reported(caplog):
    trainer = trainer_of(pcb(), batches=training_batches(loader_config(7), 0, 0))
    trainer.train(0, 6)
    assert "PCB starts at iteration 6, but the training ends at 6" in caplog.text
    assert "Lower start_epoch or train longer" in caplog.text


def test_without_open_periods_the_data_loader_needs_no_length():
    closed = [
        ALRPLoss(3, iterations_per_epoch=11),
        OnlineLabelSmoothingLoss(3, iterations_per_epoch=11),
        pcb(iterations_per_epoch=11),
        pcb(start_epoch=0),
    ]
    trainer_of(*closed, batches=[[{}]]).train(0, 1)
    assert closed[-1].iterations_per_epoch is None
    with pytest.raises(ValueError, match="does not tell the length of an epoch"):
        trainer_of(ALRPLoss(3), batches=[[{}]]).train(0, 1)


def alrp_config(folder):
    cfg = smoke_config(folder, "train.checkpointer.period=3", "train.max_iter=5")
    cfg.model.roi_heads._target_ = UnsampledROIHeads
    cfg.model.roi_heads.box_predictor.update(
        _target_=BoxPredictor, loss=L(ALRPLoss)(num_classes=10, iterations_per_epoch=2)
    )
    return cfg


class KilledError(Exception):
    """Stands for the end of the process."""


def kill(trainer):
    raise KilledError


def run(folder, kill_at=None):
    cfg = alrp_config(folder)
    seed_all_rng(cfg.train.seed)
    trainer = build_trainer(cfg, resume=True)
    trainer._hooks = [hook for hook in trainer._hooks if not isinstance(hook, EvalHook)]
    trainer.register_hooks([AtIteration(kill_at, kill)])
    trainer.train(trainer.start_iter, cfg.train.max_iter)
    return trainer.model.roi_heads.box_predictor.loss.state_dict()


def test_a_resumed_run_has_the_balance_of_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "resumed", kill_at=4)
    resumed = run(tmp_path / "resumed")
    assert whole["box_weight"] != 50 and set(resumed) == set(whole)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_a_missing_hook_is_reported(tmp_path, caplog):
    cfg = alrp_config(tmp_path)
    cfg.model.roi_heads.box_predictor.loss.iterations_per_epoch = None
    cfg.hooks.pop("epoch_length", None)
    with caplog.at_level(logging.WARNING, logger="rankdet"):
        build_trainer(cfg)
        assert "Add the EpochLengthHook, or set iterations_per_epoch" in caplog.text
        caplog.clear()
        cfg.hooks.epoch_length = L(EpochLengthHook)()
        build_trainer(cfg)
        assert "EpochLengthHook" not in caplog.text


@pytest.mark.parametrize(
    ("loss", "remedy"),
    [
        (L(OnlineLabelSmoothingLoss)(num_classes=10), {"iterations_per_epoch": 7}),
        (L(PCBLoss)(base=L(SoftmaxCrossEntropyLoss)(num_classes=10)), {"start_epoch": 0}),
    ],
    ids=["online label smoothing", "PCB"],
)
def test_a_missing_hook_is_reported_unless_the_loss_can_do_without(tmp_path, caplog, loss, remedy):
    cfg = smoke_config(tmp_path)
    cfg.hooks.pop("epoch_length", None)
    cfg.model.roi_heads.box_predictor.loss = loss
    with caplog.at_level(logging.WARNING, logger="rankdet"):
        build_trainer(cfg)
        assert f"{loss._target_.__name__} does not know the length of an epoch" in caplog.text
        assert "Add the EpochLengthHook, or set iterations_per_epoch" in caplog.text
        caplog.clear()
        cfg.model.roi_heads.box_predictor.loss.update(remedy)
        build_trainer(cfg)
        assert "EpochLengthHook" not in caplog.text
