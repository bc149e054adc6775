from pathlib import Path

import pytest
from detectron2 import model_zoo
from detectron2.config import LazyConfig, instantiate
from support.smoke_run import CONFIG, ROOT

from rankdet.engine.config import load_config

CASCADE = str(ROOT / "configs/lvis_v1/cascade_mask_rcnn_r101_fpn_2x.py")


def load(*overrides, path=CONFIG):
    return load_config(path, overrides)


def test_overrides_are_applied():
    cfg = load("train.max_iter=7", "train.output_dir=a/b", "train.checkpointer={period: 5}")
    assert (cfg.train.max_iter, cfg.train.output_dir) == (7, "a/b")
    assert cfg.train.checkpointer == {"period": 5, "max_to_keep": 3}


def test_list_elements_are_addressed_by_index():
    cfg = load("model.roi_heads.box_predictors.1.loss_weight=0.25", path=CASCADE)
    assert [p.loss_weight for p in cfg.model.roi_heads.box_predictors] == [1.0, 0.25, 0.25]


def test_unset_constructor_arguments_may_be_given():
    name = "model.roi_heads.box_predictor.loss"
    cfg = load(f"{name}.background_ratio=6.3", f"{name}.foreground_calibration=False")
    loss = cfg.model.roi_heads.box_predictor.loss
    assert (loss.background_ratio, loss.foreground_calibration) == (6.3, False)


def test_argument_of_a_configured_hook_may_be_given():
    cfg = load("hooks.background_ratio.num_iterations=9")
    assert instantiate(cfg.hooks.background_ratio).num_iterations == 9


@pytest.mark.parametrize(
    ("override", "unknown", "nearest"),
    [
        ("trian.max_iter=1", "trian", "train"),
        ("train.max_itr=1", "train.max_itr", "train.max_iter"),
        ("train.amp.enable=True", "train.amp.enable", "train.amp.enabled"),
        ("train.checkpointer={perod: 5}", "train.checkpointer.perod", "train.checkpointer.period"),
        ("model.roi_head.num_classes=3", "model.roi_head", "model.roi_heads"),
        ("optimizer.weight_decy=1", "optimizer.weight_decy", "optimizer.weight_decay"),
        ("dataloader.train.batch_size=1", "dataloader.train.batch_size", None),
        ("dataloader.train.kwargs=1", "dataloader.train.kwargs", None),
        ("hooks.backgroundratio=1", "hooks.backgroundratio", "hooks.background_ratio"),
        (
            "hooks.background_ratio.num_iteration=1",
            "hooks.background_ratio.num_iteration",
            "hooks.background_ratio.num_iterations",
        ),
        (
            "model.roi_heads.box_predictor.loss.backgroundratio=1",
            "model.roi_heads.box_predictor.loss.backgroundratio",
            "model.roi_heads.box_predictor.loss.background_ratio",
        ),
        ("+train.new=1", "train.new", None),
    ],
)
def test_unknown_key_suggests_the_nearest(override, unknown, nearest):
    with pytest.raises(ValueError, match=f"^unknown config key '{unknown}'") as error:
        load(override)
    assert str(error.value).endswith(f"the nearest is '{nearest}'." if nearest else "'.")


def test_key_beyond_a_value():
    with pytest.raises(ValueError, match=r"'train.max_iter.x': .* it has no keys"):
        load("train.max_iter.x=1")


@pytest.mark.parametrize("index", ["3", "first"])
def test_index_beyond_a_list(index):
    key = f"model.roi_heads.box_predictors.{index}"
    with pytest.raises(ValueError, match=f"unknown config key '{key}'"):
        load(f"{key}.loss_weight=1", path=CASCADE)


@pytest.mark.parametrize("override", ["train.max_iter", "--resume", "~train.seed", "a b=c"])
def test_unreadable_override(override):
    with pytest.raises(ValueError, match=r"cannot read the override .*write key=value") as error:
        load(override)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["", "configs/nowhere.py"])
def test_missing_file(path):
    with pytest.raises(FileNotFoundError, match=f"--config-file '{path}' does not exist; give"):
        load_config(path)


def test_file_of_another_kind(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    with pytest.raises(
        ValueError, match=r"config.json' is no config; give one of .* or a run's config"
    ):
        load_config(str(path))


def test_damaged_yaml(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("train: {max_iter: 1")
    with pytest.raises(ValueError, match=r"config.yaml' is damaged .*line 1"):
        load_config(str(path))


def test_missing_section(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("train = dict(max_iter=1)\nmodel = dict()\n")
    with pytest.raises(ValueError, match="has no section dataloader, optimizer, lr_multiplier"):
        load_config(str(path))


def test_parts_are_left_out_and_hooks_are_optional(tmp_path):
    path = tmp_path / "config.py"
    sections = ["dataloader", "lr_multiplier", "model", "optimizer", "train"]
    parent = ROOT / "configs/glyphs/mask_rcnn_smoke.py"
    path.write_text(
        f"from detectron2.config import LazyConfig\nparent = LazyConfig.load({str(parent)!r})\n"
        + "\n".join(f"{name} = parent.{name}" for name in sections)
    )
    assert sorted(load_config(str(path))) == sections


def test_saved_config_loads_again_and_takes_overrides(tmp_path):
    path = str(tmp_path / "config.yaml")
    LazyConfig.save(load("train.max_iter=7"), path)
    cfg = load_config(path, ["train.seed=3", "hooks.background_ratio.num_iterations=9"])
    assert (cfg.train.max_iter, cfg.train.seed) == (7, 3)
    with pytest.raises(ValueError, match=r"nearest is 'hooks.background_ratio.num_iterations'"):
        load_config(path, ["hooks.background_ratio.num_iter=9"])


@pytest.mark.parametrize(
    "name",
    [
        "COCO-Detection/fcos_R_50_FPN_1x.py",
        "COCO-Detection/retinanet_R_50_FPN_1x.py",
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.py",
        "Misc/mmdet_mask_rcnn_R_50_FPN_1x.py",
        "new_baselines/mask_rcnn_R_50_FPN_50ep_LSJ.py",
    ],
)
def test_configs_of_detectron2_need_no_seed(name):
    path = Path(model_zoo.__file__).parent / "configs" / name
    cfg = load_config(str(path), ["train.max_iter=3"])
    assert (cfg.train.seed, cfg.train.max_iter, "hooks" in cfg) == (0, 3, False)
    assert isinstance(cfg.train.init_checkpoint, str)
    assert load_config(str(path), ["train.seed=5"]).train.seed == 5
