"""Configs and checkpoints of rankdet 0.1 end in a sentence that says what has changed."""

from importlib import import_module

import pytest
import torch
from support.smoke_run import smoke_config

from rankdet.engine import renamed
from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.training import build_model
from rankdet.losses import PCBLoss, SoftmaxCrossEntropyLoss


def old_config(folder, replace):
    """A ``config.yaml`` in which a part has its old name, or an old argument."""
    from detectron2.config import LazyConfig

    path = folder / "config.yaml"
    LazyConfig.save(smoke_config(folder), str(path))
    text = path.read_text()
    old, new = replace
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def test_a_class_with_another_name_is_named(tmp_path):
    names = (
        "rankdet.modeling.BoxPredictor",
        "rankdet.modeling.ranking_box_predictor.RankingBoxPredictor",
    )
    with pytest.raises(
        ValueError, match=r"since rankdet 0.2, rankdet.modeling.ranking_box_pr.* is"
    ):
        load_config(old_config(tmp_path, names))


def test_a_wrong_name_in_a_module_of_today_is_no_old_name():
    assert "is rankdet.engine.training;" in renamed.hint_of_name("rankdet.engine.train.train")
    assert renamed.hint_of_name("rankdet.engine.training.trian") == ""
    assert renamed.hint_of_name("rankdet.engine.launcher.lunch") == ""


def test_an_argument_that_is_gone_is_named(tmp_path):
    keys = "cls_agnostic_bbox_reg: true", "cls_agnostic_bbox_reg: true\n      smooth_l1_beta: 1.0"
    cfg = load_config(old_config(tmp_path, keys))
    with pytest.raises(ValueError, match=r"model can't be built .* smooth_l1_beta is box_loss, a"):
        build_model(cfg)


def test_a_config_file_that_imports_an_old_module_is_named(tmp_path):
    (tmp_path / "old.py").write_text("from rankdet.losses.soft_targets import SoftTargetSeesawLoss")
    with pytest.raises(ValueError, match=r"No module named 'rankdet.losses.soft_\w+' .since"):
        load_config(str(tmp_path / "old.py"))


@pytest.mark.parametrize("name", ["attention.mlp_cls.0.weight", "loss.num_calls"])
@pytest.mark.parametrize("lacks_another", [False, True])
def test_a_checkpoint_with_other_names_is_named(tmp_path, name, lacks_another):
    loss = PCBLoss(SoftmaxCrossEntropyLoss(2))
    weights = {**loss.state_dict(), f"heads.{name}": torch.zeros(1)}
    if lacks_another:  # As where a weight has another name: the checkpoint also lacks the new one.
        del weights[next(iter(loss.state_dict()))]
    torch.save({"model": weights}, tmp_path / "a.pth")
    problem = "it lacks" if lacks_another else "the model has no heads"
    with pytest.raises(ValueError, match=rf"{problem}.*; it seems to be of rankdet 0.1") as raised:
        Checkpointer(loss).load_strictly(str(tmp_path / "a.pth"))
    assert "use the config" not in str(raised.value), "it is of the right config and classes"


def test_an_override_that_is_gone_is_named(tmp_path):
    key = "model.roi_heads.box_predictor.smooth_l1_beta"
    with pytest.raises(ValueError, match=rf"{key}.*no such key .since rankdet 0.2, .* box_loss, a"):
        smoke_config(tmp_path, f"{key}=1.0")


def test_all_new_names_exist_and_no_old_one_does():
    for old, new in renamed._NAMES.items():
        module, _, name = f"rankdet.{new}".partition("(")[0].rpartition(".")
        try:
            import_module(f"{module}.{name}")
        except ModuleNotFoundError:
            assert hasattr(import_module(module), name)
        with pytest.raises(ModuleNotFoundError):
            import_module(f"rankdet.{old}")
