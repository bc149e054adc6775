import os
from pathlib import Path

import pytest
from detectron2.config import instantiate

from rankdet import model_zoo, shipped_configs
from rankdet.engine import load_config
from rankdet.tools.run_folder import load_run_config

ROOT = Path(__file__).parents[2]
NAME = "glyphs/mask_rcnn_r18_fpn.py"
OWN = """
from rankdet import model_zoo

cfg = model_zoo.get_config("glyphs/mask_rcnn_r18_fpn.py")
model, dataloader, optimizer = cfg.model, cfg.dataloader, cfg.optimizer
lr_multiplier, hooks, train = cfg.lr_multiplier, cfg.hooks, cfg.train

model.roi_heads.num_classes = 7
train.output_dir = "output/own"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder that is no checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_checkout_reads_its_configs():
    assert model_zoo.get_config_file(NAME) == ROOT / "configs" / NAME
    names = {str(path.relative_to(ROOT / "configs")) for path in ROOT.glob("configs/**/*.py")}
    assert set(shipped_configs.config_names()) == names


def test_an_installed_package_reads_its_own(elsewhere, monkeypatch):
    (elsewhere / "model_zoo/configs/toy").mkdir(parents=True)
    (elsewhere / "model_zoo/configs/toy/a.py").write_text("train = dict(seed=3)")
    monkeypatch.setattr(shipped_configs, "_PACKAGE", elsewhere)
    assert shipped_configs.config_names() == ["toy/a.py"]
    assert model_zoo.get_config("toy/a.py") == {"train": {"seed": 3}}


def test_config_is_that_of_the_file():
    cfg = model_zoo.get_config(NAME)
    assert {key: cfg[key] for key in load_config(NAME)} == load_config(str(ROOT / "configs" / NAME))
    assert model_zoo.get_config("common/optim.py").AdamW.lr > 0, "a part of experiments"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("glyphs/mask_rcnn_r18_fpn", "glyphs/mask_rcnn_r18_fpn.py"),
        ("configs/glyphs/fcos_r18_fpn_ecm.py", "glyphs/fcos_r18_fpn_ecm.py"),
        ("fcos_r18_fpn_ecm.py", "glyphs/fcos_r18_fpn_ecm.py"),
        ("common/optm.py", "common/optim.py"),
        (f"../configs/{NAME}", NAME),
        (str(ROOT / "configs" / NAME), NAME),
    ],
)
def test_unknown_name_is_one_sentence_with_the_nearest(name, nearest):
    with pytest.raises(FileNotFoundError) as error:
        model_zoo.get_config(name)
    start = f"the model zoo has no config {name!r}; the nearest are "
    message = str(error.value)
    assert message.startswith(start)
    assert nearest in message.removeprefix(start).removesuffix(".").split(", ")


def test_name_of_a_config_that_is_misspelled_on_the_command_line():
    message = r"--config-file 'glyphs/fcos.py' does not exist; .* \(the nearest are glyphs/fcos_r18"
    with pytest.raises(FileNotFoundError, match=message):
        load_config("glyphs/fcos.py")


def test_file_that_exists_comes_before_a_name(elsewhere):
    (elsewhere / "glyphs").mkdir()
    Path(NAME).write_text(OWN)
    assert load_config(NAME).train.output_dir == "output/own"
    os.remove(NAME)
    assert load_config(NAME).train.output_dir == "output/glyphs/mask_rcnn_r18_fpn"


def test_tools_take_names():
    overrides = ["train.output_dir=output/other"]
    assert load_run_config(Path(NAME), overrides).train.output_dir == "output/other"


def test_own_config_starts_from_a_shipped_one(elsewhere):
    Path("own.py").write_text(OWN)
    cfg = load_config("own.py", ["train.max_iter=9"])
    assert cfg.keys() == load_config(NAME).keys()
    assert (cfg.model.roi_heads.num_classes, cfg.train.max_iter) == (7, 9)
    assert instantiate(cfg.model).roi_heads.num_classes == 7
    with pytest.raises(ValueError, match=r"unknown config key 'train\.max_itr'"):
        load_config("own.py", ["train.max_itr=9"])
