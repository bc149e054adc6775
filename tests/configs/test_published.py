"""Every experiment loads, is built, saved and loaded again, and has the settings of its paper."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from detectron2.config import LazyConfig, instantiate
from detectron2.utils.registry import _convert_target_to_string
from omegaconf import DictConfig, ListConfig, OmegaConf
from support.quick_experiments import QUICK
from torch import nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights

from rankdet import model_zoo
from rankdet.data.class_stats import instance_counts
from rankdet.engine.config import load_config
from rankdet.losses.ecm_surrogate import ECMSurrogate

ROOT = Path(__file__).parents[2] / "configs"
NAMES = sorted(
    str(path.relative_to(ROOT).with_suffix(""))
    for path in ROOT.rglob("*.py")
    if "common" not in path.parts
)
PUBLISHED = [
    entry
    for file in ("published.yaml", "published_detr.yaml")
    for entry in yaml.safe_load(Path(__file__).with_name(file).read_text())
]
SMALL = ["dataloader.train.dataset.names=glyphs_smoke_train"]
TEN_CLASSES = {
    True: [*SMALL, "model.roi_heads.num_classes=10"],
    False: [*SMALL, "model.num_classes=10"],
}
STRIDES = [8, 16, 32, 64, 128]
LAST = ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")

pytestmark = pytest.mark.usefixtures("lvis_datasets")


def fits(name: str, patterns: str | list[str]) -> bool:
    return any(fnmatch(name, x) for x in ([patterns] if isinstance(patterns, str) else patterns))


def published(name: str) -> dict[str, Any]:
    """All facts of an experiment."""
    facts: dict[str, Any] = {}
    for entry in PUBLISHED:
        if fits(name, entry["for"]) and not fits(name, entry.get("but", [])):
            facts |= entry["facts"]
    return facts


def load(name: str) -> DictConfig:
    """The experiment; of glyphs on the smallest set, as to draw the others takes long."""
    small = TEN_CLASSES["rcnn" in name] if name.endswith("_ecm") else SMALL
    return load_config(str(ROOT / f"{name}.py"), small if name.startswith("glyphs") else [])


def built(cfg: DictConfig) -> nn.Module:
    is_swin = "window_size" in cfg.model.get("backbone", {})  # Detectron2's reads numbers.
    with torch.device("cpu" if is_swin else "meta"):
        return instantiate(cfg.model)


def plain(value: Any) -> Any:
    """A config as numbers, text, lists and dicts."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _convert_target_to_string(value) if callable(value) else value


def content(cfg: DictConfig) -> Any:
    return plain(OmegaConf.to_container(cfg, resolve=True))


def attributes(node: Any, keys: list[str]) -> Iterator[Any]:
    """What a path of attributes leads to; `*` leads to each stage, or to the part itself."""
    if not keys:
        yield list(node) if isinstance(node, tuple | ListConfig) else node
        return
    key, *others = keys
    if key == "*":
        for stage in node if isinstance(node, nn.ModuleList) else [node]:
            yield from attributes(stage, others)
    elif key.lstrip("-").isdigit():
        yield from attributes(node[int(key)], others)
    elif key.endswith("()"):
        yield type(getattr(node, key[:-2])).__name__
    else:
        yield from attributes(getattr(node, key), others)


def ranking_losses(model: nn.Module) -> list[nn.Module]:
    """The losses of RPN and all stages, or of the one stage."""
    return [m for m in model.modules() if type(m).__module__.startswith("rankdet.losses.")]


def anchors(cfg: DictConfig) -> list[list[float]]:
    """Width and height of the anchors of a cell, in strides: the same on all levels."""
    generator = cfg.model.get("anchor_generator") or cfg.model.proposal_generator.anchor_generator
    generator = instantiate(generator)
    assert generator.strides == ([4, 8, 16, 32, 64] if "roi_heads" in cfg.model else STRIDES)
    levels = [
        (boxes[:, 2:] - boxes[:, :2]) / stride
        for boxes, stride in zip(generator.cell_anchors, generator.strides, strict=True)
    ]
    for level in levels:
        torch.testing.assert_close(level, levels[0])
    if "head" in cfg.model:
        assert cfg.model.head.get("num_anchors", 1) == len(levels[0])
    return levels[0].tolist()


def found(key: str, cfg: DictConfig, model: nn.Module) -> list[Any]:
    """The values of a fact: all must be what is published."""
    if key == "anchors":
        return [anchors(cfg)]
    if key == "init":
        return [cfg.train.init_checkpoint.rpartition("/")[2]]
    if key == "ranking":
        return [type(loss).__name__ for loss in ranking_losses(model)]
    first, *others = key.split(".")
    if first == "ranking":
        return [getattr(loss, *others) for loss in ranking_losses(model)]
    if first == "built":
        return list(attributes(model, others))
    selected = OmegaConf.create({"x": OmegaConf.select(cfg, key)}, flags={"allow_objects": True})
    return [plain(OmegaConf.to_container(selected)["x"])]


def check_schedule(cfg: DictConfig, facts: dict[str, Any]) -> None:
    """Compare the learning rates of every epoch after the warm-up, and half the warm-up."""
    multiplier = instantiate(cfg.lr_multiplier)
    if "epochs" in facts:
        epochs, drops = facts["epochs"], facts["drops"]
        assert cfg.train.max_iter == epochs * facts["epoch"]
        rates = [multiplier((epoch + 0.5) / epochs) for epoch in range(epochs)]
        divisor = facts.get("divisor", 10.0)
        expected = [divisor ** -sum(epoch >= drop for drop in drops) for epoch in range(epochs)]
        is_warm = 2 if facts.get("warmup", 0) > 500 else 0
        assert rates[is_warm:] == pytest.approx(expected[is_warm:])
    if "warmup" in facts:
        warmup = facts["warmup"]
        assert multiplier((warmup + 1) / cfg.train.max_iter) == pytest.approx(1.0)
        assert multiplier(0.5 * warmup / cfg.train.max_iter) == pytest.approx(0.5, rel=1e-2)
    if "first_rate" in facts:
        assert multiplier(0) == pytest.approx(facts["first_rate"])


def check_start_of_pcb(cfg: DictConfig, model: nn.Module, epoch: int | None) -> None:
    """It is after two thirds of the training."""
    loss = model.roi_heads.box_predictor.loss
    if loss.iterations_per_epoch is None:
        # As the hook does, from the number of images.
        assert epoch is None or "sampler" not in cfg.dataloader.train
        loss.iterations_per_epoch = epoch or 1400 // 8
    assert loss.start_iteration() == pytest.approx(2 / 3 * cfg.train.max_iter, abs=6)


def check_order_of_channels(cfg: DictConfig) -> None:
    """Loaders, model and mean agree; models of glyphs start from nothing, with any mean."""
    order = cfg.dataloader.train.mapper.image_format
    assert cfg.dataloader.test.mapper.image_format == order
    assert cfg.model.get("input_format", order) == order
    mean = [123.675, 116.28, 103.53] if order == "RGB" else [103.53, 116.28, 123.675]
    assert list(cfg.model.pixel_mean) == mean or cfg.train.init_checkpoint == ""


SCHEDULE = {"epoch", "epochs", "drops", "divisor", "warmup", "first_rate"}


def is_fact(value: Any, expected: Any) -> bool:
    """Equal up to rounding."""
    if isinstance(expected, str):
        return bool(value == expected)
    if isinstance(expected, list):
        is_list = isinstance(value, list) and len(value) == len(expected)
        return is_list and all(map(is_fact, value, expected))
    if expected is None or isinstance(expected, bool):
        return value is expected
    return value is not None and value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[] if x in QUICK else pytest.mark.slow) for x in NAMES]
)
def test_experiment(name: str, tmp_path: Path) -> None:
    text = (ROOT / f"{name}.py").read_text()
    assert text.startswith('"""') and len(text.splitlines()) < 20
    cfg = load(name)
    assert cfg.train.output_dir == f"output/{name}"
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    assert content(load_config(str(tmp_path / "config.yaml"))) == content(cfg)
    assert not (tmp_path / "config.yaml.pkl").exists()
    for hook in cfg.hooks.values():
        instantiate(hook)
    check_order_of_channels(cfg)
    model, facts = built(cfg), published(name)
    check_schedule(cfg, facts)
    if name.endswith("_pcb"):
        check_start_of_pcb(cfg, model, facts.get("epoch"))
    others = {key: expected for key, expected in facts.items() if key not in SCHEDULE}
    values = {key: found(key, cfg, model) for key in others}
    wrong = [key for key in others if not all(is_fact(x, others[key]) for x in values[key])]
    assert not wrong, [f"{key} is {values[key]}, not {others[key]}" for key in wrong]


def test_every_fact_is_of_an_experiment() -> None:
    for entry in PUBLISHED:
        assert any(fits(n, entry["for"]) and not fits(n, entry.get("but", [])) for n in NAMES)


def one_stage(folder: str) -> list[str]:
    return [x for x in NAMES if x.startswith(f"{folder}/") and not re.search("rcnn|detr", x)]


def test_there_is_a_base_for_every_method() -> None:
    pcb = [name for name in NAMES if name.endswith("_pcb")]
    # The R101 of the paper has no base.
    without = [name for name in pcb if name.replace("_pcb", "") not in NAMES]
    assert without == ["lvis_v1/mask_rcnn_r101_fpn_2x_seesaw_pcb"] and len(pcb) == 4 + 4 + 5
    dense = ["atss_r101_fpn_1x", "atss_r50_fpn_1x", "atss_r50_fpn_2x", "varifocalnet_r50_fpn_1x"]
    dense += ["fcos_r101_fpn_1x", "fcos_r50_fpn_1x", "fcos_r50_fpn_2x"]
    expected = sorted(f"lvis_v1/{name}{method}" for name in dense for method in ("", "_ecm"))
    assert one_stage("lvis_v1") == expected
    assert len(one_stage("coco")) == 3 + 5 + 5


ECM = [name for name in NAMES if name.endswith("_ecm") and "rcnn" not in name]


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[] if "glyphs" in x else pytest.mark.slow) for x in ECM],
)
def test_ecm_counts_the_training_set_and_changes_classification_alone(name: str) -> None:
    overrides = TEN_CLASSES[False] if name.startswith("glyphs") else []
    names = name, name.removesuffix("_ecm")
    cfg, default = (load_config(str(ROOT / f"{x}.py"), overrides) for x in names)
    assert cfg.model.keys() == default.model.keys()
    assert [key for key in default.model if cfg.model[key] != default.model[key]] == ["loss"]
    losses = instantiate(cfg.model.loss), instantiate(default.model.loss)
    loss, plain_loss = (getattr(one, "loss", one) for one in losses)  # Queries' are around it.
    assert type(loss) is type(plain_loss) and type(loss.surrogate) is ECMSurrogate
    for field in ("alpha", "gamma", "box_weight"):
        assert getattr(loss, field) == getattr(plain_loss, field)
    counts = instance_counts(cfg.dataloader.train.dataset.names)
    assert loss.surrogate.class_counts.tolist() == counts.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", [x for x in NAMES if fits(x, "glyphs/*_ecm") and "smoke" not in x])
def test_ecm_has_the_classes_of_glyphs(name: str) -> None:
    model = built(load_config(str(ROOT / f"{name}.py")))
    assert getattr(model, "roi_heads", model).num_classes == 36


def test_points_of_fcos_are_squares_of_a_stride_in_the_middle_of_a_cell() -> None:
    generator = instantiate(load("glyphs/fcos_r18_fpn").model.anchor_generator)
    anchors = generator([torch.zeros(1, 1, 2, 2)] * 3)
    for stride, boxes in zip([4, 8, 16], anchors, strict=True):
        assert boxes.tensor[0].tolist() == [0, 0, stride, stride] and len(boxes) == 4


def test_cityscapes_starts_from_all_but_the_last_layers_of_a_coco_model() -> None:
    coco = built(load("coco/mask_rcnn_r50_fpn_1x")).state_dict()
    shapes = {name: weight.shape for name, weight in coco.items()}
    found = built(load("cityscapes/mask_rcnn_r50_fpn_brs")).state_dict().items()
    differing = {name for name, weight in found if shapes.get(name) != weight.shape}
    assert differing == {f"roi_heads.{part}.{p}" for part in LAST for p in ("weight", "bias")}


def test_initial_weights_are_those_of_torchvision() -> None:
    weights = model_zoo.get_config("common/imagenet.py")
    assert weights.r50.init_checkpoint == ResNet50_Weights.IMAGENET1K_V1.url
    assert weights.r101.init_checkpoint == ResNet101_Weights.IMAGENET1K_V1.url
