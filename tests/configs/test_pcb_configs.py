"""The experiments with EQL v2, Seesaw and PCB have the hyper-parameters of the releases."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from rankdet.engine.config import load_config
from rankdet.losses.eql import EQLv2Loss
from rankdet.losses.seesaw import SeesawLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss
from rankdet.modeling.iterative_head import IterativeROIHeads
from rankdet.modeling.mask_head import MaskHead
from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear

ROOT = Path(__file__).parents[2] / "configs"
PCB = sorted(path for path in ROOT.rglob("*_pcb.py") if "common" not in path.parts)
LVIS = sorted(
    path
    for folder in ("lvis_v1", "lvis_v0_5")
    for path in (ROOT / folder).glob("*.py")
    if folder == "lvis_v0_5" or path.stem.endswith(("_pcb", "_seesaw", "_eqlv2", "_random"))
)
# With repeat factor sampling and without; that of v0.5 with it is an estimate.
EPOCHS = {"lvis_v1": (7674, 6212), "lvis_v0_5": (4382, 3547)}
BASES = {
    "eqlv2": (EQLv2Loss, 0.2),
    "seesaw": (SeesawLoss, 0.05),
    "": (SoftmaxCrossEntropyLoss, 0.4),
}

by_name = pytest.mark.parametrize("path", LVIS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def base_of(path):
    return next(base for base in BASES if base in path.stem)


def is_random(path):
    return path.stem.endswith(("_random", "_random_pcb")) or base_of(path) == "eqlv2"


def built(cfg):
    with torch.device("meta"):
        return instantiate(cfg.model)


def test_there_is_a_base_for_every_pcb():
    # The R101 of the paper has no base.
    bases = [path.with_name(path.name.replace("_pcb", "")) for path in PCB]
    assert [path.stem for path in bases if not path.exists()] == ["mask_rcnn_r101_fpn_2x_seesaw"]
    assert len(PCB) == 4 + 4 + 5


@pytest.mark.parametrize("path", PCB, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_pcb_has_the_released_settings(path):
    cfg = load_config(str(path))
    heads = built(cfg).roi_heads
    base, alpha = BASES[base_of(path)]
    loss = heads.box_predictor.loss
    assert isinstance(loss.base, base) and loss.alpha == alpha
    assert loss.confusion.momentum == 0.99
    assert type(heads) is IterativeROIHeads
    assert heads.step_weights == (0.2, 0.2, 0.6) and loss.num_steps == 3
    assert isinstance(heads.attention.norm, torch.nn.LayerNorm) == (base is EQLv2Loss)
    assert heads.attention.mlp_loc[-1].out_features == heads.box_pooler.output_size[0] ** 2
    assert heads.attention.mlp_cls[0].out_features == 512


@pytest.mark.parametrize("path", PCB, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_pcb_starts_after_two_thirds_of_the_training(path):
    cfg = load_config(str(path))
    loss = built(cfg).roi_heads.box_predictor.loss
    is_lvis = path.parent.name in EPOCHS
    if loss.iterations_per_epoch is None:
        # As the hook does, from the number of images.
        assert not is_lvis or is_random(path)
        loss.iterations_per_epoch = EPOCHS[path.parent.name][1] if is_lvis else 1400 // 8
    assert loss.start_iteration() == pytest.approx(2 / 3 * cfg.train.max_iter, abs=6)


@by_name
def test_lvis_schedules_and_sampling_are_the_papers(path):
    cfg = load_config(str(path))
    per_epoch = EPOCHS[path.parent.name][is_random(path)]
    train, multiplier = cfg.dataloader.train, instantiate(cfg.lr_multiplier)
    assert cfg.train.max_iter == 24 * per_epoch and train.total_batch_size == 16
    rates = [multiplier((epoch + 0.5) / 24) for epoch in range(24)]
    assert rates == pytest.approx([1.0] * 16 + [0.1] * 6 + [0.01] * 2)
    assert multiplier(0) == pytest.approx(1e-3)
    assert multiplier(250 / cfg.train.max_iter) == pytest.approx(0.5, rel=1e-2)
    assert multiplier(501 / cfg.train.max_iter) == pytest.approx(1.0)
    assert ("sampler" in train) != is_random(path)
    if "sampler" in train:
        assert train.sampler.repeat_factors.repeat_thresh == 1e-3
    assert train.mapper.augmentations[0].short_edge_length == [640, 672, 704, 736, 768, 800]
    optimizer = cfg.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.02, 0.9, 1e-4)
    assert "gradient_clipping" not in cfg.hooks
    name = path.parent.name.replace("v0_5", "v0.5")
    assert (train.dataset.names, cfg.dataloader.test.dataset.names) == (
        f"{name}_train",
        f"{name}_val",
    )


@by_name
def test_lvis_models_are_the_papers(path):
    cfg = load_config(str(path))
    heads = built(cfg).roi_heads
    predictor = heads.box_predictor
    assert (
        heads.num_classes
        == predictor.loss.num_classes
        == (1203 if path.parent.name == "lvis_v1" else 1230)
    )
    assert (predictor.test_score_thresh, predictor.test_topk_per_image) == (1e-4, 300)
    loss = getattr(predictor.loss, "base", predictor.loss)
    assert isinstance(loss, BASES[base_of(path)][0])
    is_seesaw = isinstance(loss, SeesawLoss)
    assert isinstance(predictor.cls_score, NormedLinear) == is_seesaw
    assert isinstance(heads.mask_head.predictor, NormedConv2d) == is_seesaw
    if is_seesaw:
        assert (loss.p, loss.q) == (0.8, 2.0) and isinstance(heads.mask_head, MaskHead)
        assert predictor.cls_score.temperature == heads.mask_head.predictor.temperature == 20
    if isinstance(loss, EQLv2Loss):
        assert (loss.gamma, loss.mu, loss.alpha) == (12.0, 0.8, 4.0)
    depth = cfg.model.backbone.bottom_up.stages.depth
    assert depth == (101 if "r101" in path.stem else 50)
    assert cfg.train.init_checkpoint.endswith(f"R-{depth}.pkl")
