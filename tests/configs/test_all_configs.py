"""Every experiment loads, has a folder of its own name, is built, is saved and loads again."""

from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from omegaconf import OmegaConf

from rankdet.engine.config import load_config

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "configs").rglob("*.py")
    if "common" not in path.parts
)

pytestmark = pytest.mark.usefixtures("lvis_datasets")


def shapes_on_meta(cfg):
    with torch.device("meta"):
        return {name: tuple(p.shape) for name, p in instantiate(cfg.model).state_dict().items()}


def resolved(cfg):
    return OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_config_loads_builds_saves_and_reloads(path, tmp_path):
    cfg = load_config(str(ROOT / path))
    assert cfg.train.output_dir == str(Path("output", *path.with_suffix("").parts[1:]))
    shapes = shapes_on_meta(cfg)
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    reloaded = load_config(str(tmp_path / "config.yaml"))
    assert shapes_on_meta(reloaded) == shapes
    assert not (tmp_path / "config.yaml.pkl").exists()
    instantiate(reloaded.lr_multiplier)
    for hook in reloaded.hooks.values():
        instantiate(hook)


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_config_has_a_docstring_and_is_short(path):
    text = (ROOT / path).read_text()
    assert text.startswith('"""') and len(text.splitlines()) < 20


@pytest.mark.parametrize(
    ("name", "epochs", "steps"),
    [
        ("mask_rcnn_r50_fpn_1x", 12, (8, 11)),
        ("mask_rcnn_r50_fpn_1x_ecm", 12, (8, 11)),
        ("mask_rcnn_r50_fpn_2x", 24, (16, 22)),
        ("mask_rcnn_r50_fpn_2x_ecm", 24, (20, 22)),
        ("mask_rcnn_r101_fpn_2x_ecm", 24, (20, 22)),
        ("cascade_mask_rcnn_r101_fpn_2x_ecm", 24, (20, 22)),
    ],
)
def test_lvis_schedules_are_the_papers(name, epochs, steps):
    cfg = load_config(str(ROOT / f"configs/lvis_v1/{name}.py"))
    multiplier, per_epoch = instantiate(cfg.lr_multiplier), 7674
    assert cfg.train.max_iter == epochs * per_epoch and cfg.dataloader.train.total_batch_size == 16
    rates = [multiplier((epoch + 0.5) / epochs) for epoch in range(epochs)]
    expected = [1.0 if e < steps[0] else 0.1 if e < steps[1] else 0.01 for e in range(epochs)]
    is_warm = 2  # epochs, above 10,000 iterations
    assert rates[is_warm:] == pytest.approx(expected[is_warm:])
    warmup = 10_000 if name.endswith("_ecm") else 1000
    assert multiplier((warmup + 1) / cfg.train.max_iter) == pytest.approx(1.0)
    assert multiplier(0.5 * warmup / cfg.train.max_iter) == pytest.approx(0.5, rel=1e-2)


def test_lvis_ecm_has_the_released_settings():
    cfg = load_config(str(ROOT / "configs/lvis_v1/mask_rcnn_r50_fpn_1x_ecm.py"))
    predictor, train = cfg.model.roi_heads.box_predictor, cfg.dataloader.train
    assert (predictor.test_score_thresh, predictor.test_topk_per_image) == (1e-4, 300)
    assert predictor.classifier.temperature == 20
    assert cfg.model.roi_heads.mask_head.predictor.temperature == 20
    assert train.sampler.repeat_factors.repeat_thresh == 1e-3
    assert train.mapper.augmentations[0].short_edge_length == [640, 672, 704, 736, 768, 800]
    assert cfg.hooks.gradient_clipping.max_norm == 5
    assert (cfg.optimizer.lr, cfg.optimizer.momentum, cfg.optimizer.weight_decay) == (
        0.02,
        0.9,
        1e-4,
    )
