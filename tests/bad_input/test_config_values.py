"""Values of configs: one sentence before the training, or a legal meaning."""

import pytest
from bad_input.case import Case, table
from detectron2.config import LazyCall as L
from detectron2.evaluation import COCOEvaluator
from support.smoke_run import CONFIG, OVERRIDES, smoke_config

from rankdet.engine import training as engine
from rankdet.engine.config import load_config
from rankdet.engine.training import build_trainer
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

WHOLE_1 = "give a whole number of 1 or more"
WHOLE_0 = "give a whole number of 0 or more"
FLAG = "give True or False"
NAMES = "give the name of a registered data set"
PART = "give a part with a _target_"

VALUE_CASES = [
    Case("max_iter negative", "train.max_iter=-5", f"train.max_iter is -5; {WHOLE_1}"),
    Case("max_iter zero", "train.max_iter=0", WHOLE_1),
    Case("max_iter text", "train.max_iter=abc", "train.max_iter is 'abc'"),
    Case("max_iter number as text", "train.max_iter='7'", "train.max_iter is '7'"),
    Case("max_iter fraction", "train.max_iter=2.5", "train.max_iter is 2.5"),
    Case("max_iter nothing", "train.max_iter=null", "train.max_iter is None"),
    Case("max_iter truth value", "train.max_iter=True", "train.max_iter is True"),
    Case("max_iter infinite", "train.max_iter=inf", "train.max_iter is inf"),
    Case("max_iter list", "train.max_iter=[1]", r"train.max_iter is \[1\]"),
    Case("output_dir nothing", "train.output_dir=null", "train.output_dir is None; give a folder"),
    Case("output_dir empty", "train.output_dir=''", "train.output_dir is ''; give a folder"),
    Case("output_dir number", "train.output_dir=3", "train.output_dir is 3; give a folder"),
    Case("init_checkpoint number", "train.init_checkpoint=3", "init_checkpoint is 3; give a file"),
    Case("init_checkpoint list", "train.init_checkpoint=[a]", "give a file, or '' for none"),
    Case("init_checkpoint none", "train.init_checkpoint=''", meaning="random weights"),
    Case("eval_period negative", "train.eval_period=-1", f"train.eval_period is -1; {WHOLE_0}"),
    Case("eval_period zero", "train.eval_period=0", meaning="evaluation at the end only"),
    Case("eval_period fraction", "train.eval_period=0.5", WHOLE_0),
    Case("log_period zero", "train.log_period=0", f"train.log_period is 0; {WHOLE_1}"),
    Case("log_period nothing", "train.log_period=null", "train.log_period is None"),
    Case("seed negative", "train.seed=-1", "train.seed is -1; .*: a training is always seeded"),
    Case("seed fraction", "train.seed=1.5", "train.seed is 1.5"),
    Case("seed nothing", "train.seed=null", "train.seed is None"),
    Case("device number", "train.device=3", "train.device is 3; give cpu, cuda or cuda:N"),
    Case("device empty", "train.device=''", "give cpu, cuda or cuda:N"),
    Case("period zero", "train.checkpointer.period=0", f"checkpointer.period is 0; {WHOLE_1}"),
    Case("period nothing", "train.checkpointer.period=null", WHOLE_1),
    Case("max_to_keep zero", "train.checkpointer.max_to_keep=0", "1 or more, or null: all"),
    Case("max_to_keep text", "train.checkpointer.max_to_keep=all", "1 or more, or null: all"),
    Case("max_to_keep nothing", "train.checkpointer.max_to_keep=null", meaning="all are kept"),
    Case("checkpointer a number", "train.checkpointer=3", "checkpointer is 3; give a section"),
    Case("amp a truth value", "train.amp=True", "train.amp is True; give a section of keys"),
    Case("amp.enabled a number", "train.amp.enabled=1", f"train.amp.enabled is 1; {FLAG}"),
    Case("ddp a list", "train.ddp=[]", "the overrides .* do not fit"),
    Case("ddp flag text", "train.ddp.broadcast_buffers=maybe", FLAG),
    Case("train a number", "train=3", "give a section|do not fit"),
    Case("train nothing", "train=null", "give a section|do not fit"),
    Case("lr not a number", "optimizer.lr=nan", "optimizer.lr is nan; give a number above 0"),
    Case("lr infinite", "optimizer.lr=inf", "optimizer.lr is inf; give a number above 0"),
    Case("lr negative", "optimizer.lr=-1", "optimizer.lr is -1"),
    Case("lr zero", "optimizer.lr=0", "optimizer.lr is 0"),
    Case("lr text", "optimizer.lr=fast", "optimizer.lr is 'fast'"),
    Case("lr nothing", "optimizer.lr=null", "optimizer.lr is None"),
    Case("weight_decay negative", "optimizer.weight_decay=-1", "weight_decay is -1; give a number"),
    Case("betas one number", "optimizer.betas=[0.9]", "give two numbers from 0 to less than 1"),
    Case("betas too large", "optimizer.betas=[0.9,1.0]", "give two numbers from 0 to less than 1"),
    Case("betas text", "optimizer.betas=high", "give two numbers from 0 to less than 1"),
    Case("optimizer nothing", "optimizer=null", f"optimizer is None; {PART}"),
    Case("optimizer.params nothing", "optimizer.params=null", f"optimizer.params is None; {PART}"),
    Case("model a number", "model=3", f"model is 3; {PART}"),
    Case("lr_multiplier a number", "lr_multiplier=1", f"lr_multiplier is 1; {PART}"),
    Case("warm-up longer than the training", "lr_multiplier.warmup_length=2", "give the share of"),
    Case("batch zero", "dataloader.train.total_batch_size=0", f"size is 0; {WHOLE_1}"),
    Case("batch negative", "dataloader.train.total_batch_size=-8", WHOLE_1),
    Case("batch fraction", "dataloader.train.total_batch_size=1.5", WHOLE_1),
    Case("workers negative", "dataloader.train.num_workers=-1", f"num_workers is -1; {WHOLE_0}"),
    Case("workers text", "dataloader.train.num_workers=all", WHOLE_0),
    Case("test workers nothing", "dataloader.test.num_workers=null", WHOLE_0),
    Case("test batch zero", "dataloader.test.batch_size=0", WHOLE_1),
    Case("grouping text", "dataloader.train.aspect_ratio_grouping=often", FLAG),
    Case("masks text", "dataloader.train.mapper.use_instance_mask=often", FLAG),
    Case("names a number", "dataloader.train.dataset.names=3", f"names is 3; {NAMES}"),
    Case("names empty list", "dataloader.train.dataset.names=[]", NAMES),
    Case("names empty text", "dataloader.test.dataset.names=''", NAMES),
    Case("names list of numbers", "dataloader.test.dataset.names=[1]", NAMES),
    Case("names list of one", "dataloader.train.dataset.names=[a]", meaning="one data set"),
    Case("dataloader nothing", "dataloader=null", "dataloader is None; give a section"),
    Case("dataloader.test nothing", "dataloader.test=null", "test is None; give a section"),
    Case("evaluator nothing", "dataloader.evaluator=null", f"evaluator is None; {PART}"),
    Case("hooks a list", "hooks=[]", r"hooks is \[\]|do not fit"),
    Case("hook a number", "hooks.epoch_length=1", f"hooks.epoch_length is 1; {PART}"),
    Case("reference to nothing", "train.seed='${nowhere}'", "train.seed can't be resolved"),
    Case(
        "reference in a circle", "train.seed='${train.seed}'", "can't be resolved|circular|recurs"
    ),
    Case("section that is its own part", "train='${train.seed}'", "train can't be resolved|fit"),
    Case("unknown key", "train.max_itr=3", "the nearest is 'train.max_iter'"),
    Case("unknown section", "training.seed=3", "there is no such section; the nearest is 'train'"),
    Case("unknown argument of a part", "optimizer.lrr=3", "the nearest is 'optimizer.lr'"),
]


@table(VALUE_CASES)
def test_value(case):
    if case.meaning:
        assert load_config(CONFIG, [case.bad]), case.meaning
        return
    with pytest.raises(ValueError, match=case.sentence) as error:
        load_config(CONFIG, [case.bad])
    assert "\n" not in str(error.value)


LR = "lr_multiplier"
ANCHORS = "model.proposal_generator.anchor_generator.sizes"
AUGMENTATIONS = "dataloader.train.mapper.augmentations"
BUILT_CASES = [
    Case("evaluator with a wrong task", {"dataloader.evaluator.tasks": ["foo"]}, "give a list of"),
    Case("evaluator with a wrong limit", {"dataloader.evaluator.max_dets_per_image": 0}, "is 0"),
    Case("evaluator of no data set", {"dataloader.evaluator.dataset_name": "no"}, "not registered"),
    Case(
        "evaluator that is none",
        {"dataloader.evaluator": L(SoftmaxCrossEntropyLoss)(num_classes=3)},
        "dataloader.evaluator is a SoftmaxCrossEntropyLoss; give a DatasetEvaluator",
    ),
    Case(
        "evaluator with an unknown argument",
        {"dataloader.evaluator": L(COCOEvaluator)(dataset_name="glyphs_smoke_val", nonsense=1)},
        r"dataloader.evaluator can't be built \(TypeError: .*nonsense",
    ),
    Case("scheduler of odd values", {f"{LR}.scheduler.start_value": "x"}, f"{LR} can't be built"),
    Case("warm-up as text", {f"{LR}.warmup_length": "x"}, f"{LR} can't be built"),
    Case(
        "scheduler that is none",
        {LR: L(SoftmaxCrossEntropyLoss)(num_classes=3)},
        f"{LR} is a SoftmaxCrossEntropyLoss; give a ParamScheduler",
    ),
    Case(
        "hook that is none",
        {"hooks.epoch_length": L(SoftmaxCrossEntropyLoss)(num_classes=3)},
        "hooks.epoch_length is a SoftmaxCrossEntropyLoss; give a HookBase",
    ),
    Case("hook of odd values", {"hooks.background_ratio.num_iterations": 0}, "num_iterations is 0"),
    Case("optimizer of odd values", {"optimizer.eps": "x"}, "optimizer can't be built"),
    Case("loss of odd values", {"model.roi_heads.box_predictor.prior_prob": 2}, "prior_prob is 2"),
    Case("classes of another number", {"model.roi_heads.num_classes": 12}, "num_classes is 12"),
    Case("classes below one", {"model.roi_heads.num_classes": 0}, "num_classes is 0"),
    Case(
        "anchors as text",
        {"model.proposal_generator.anchor_generator.sizes": "x"},
        "can't be built",
    ),
    Case("unknown device", {"train.device": "foo"}, "train.device=foo can't be used"),
    Case("device that is not there", {"train.device": "cuda:77"}, "train.device=cuda:77 can't be"),
    Case("AMP on a CPU", {"train.amp.enabled": True}, "train.amp.enabled needs CUDA"),
    Case(
        "data set that is not registered",
        {"dataloader.train.dataset.names": "no"},
        "not registered",
    ),
    Case(
        "augmentation that is none",
        {AUGMENTATIONS: [3]},
        "can't be built",
    ),
    Case("sampler that is none", {"dataloader.train.sampler": 3}, "sampler is 3; give a Sampler"),
]


@table(BUILT_CASES)
def test_what_only_building_finds(tmp_path, monkeypatch, case):
    monkeypatch.setattr(engine, "default_writers", lambda *args: [])
    cfg = smoke_config(tmp_path)
    for key, value in case.bad.items():
        owner, _, name = key.rpartition(".")
        node = cfg
        for part in filter(None, owner.split(".")):
            node = node[part]
        node[name] = value
    with pytest.raises((ValueError, FileNotFoundError), match=case.sentence) as error:
        build_trainer(cfg)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "metrics.json").exists()


def test_overrides_of_the_smoke_run_are_legal():
    assert load_config(CONFIG, OVERRIDES)
