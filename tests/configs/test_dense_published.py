"""The one-stage experiments on LVIS and COCO have the settings of the papers."""

from functools import cache

import pytest
from detectron2.config import instantiate
from small_experiment import ROOT

from rankdet.data.class_stats import instance_counts
from rankdet.engine.config import load_config
from rankdet.losses.ecm_surrogate import ECMSurrogate
from rankdet.modeling.box_losses import GIoUBoxLoss

LVIS = sorted(path.stem for path in (ROOT / "lvis_v1").glob("*.py") if "rcnn" not in path.stem)
COCO = sorted(path.stem for path in (ROOT / "coco").glob("*.py") if "rcnn" not in path.stem)
RANKED = [name for name in COCO if name.startswith(("atss_r50_fpn_1x_", "paa_r50_fpn_1x_"))]
STRIDES = [8, 16, 32, 64, 128]


@cache
def experiment(name):
    return load_config(str(ROOT / f"{name}.py"))


def rates(cfg, epochs):
    multiplier = instantiate(cfg.lr_multiplier)
    return [multiplier((epoch + 0.5) / epochs) for epoch in range(epochs)]


def steps(epochs, *drops):
    return [10.0 ** -sum(epoch >= drop for drop in drops) for epoch in range(epochs)]


def anchor_shapes(cfg):
    """Width and height of the anchors of each level's first cell, in strides."""
    anchors = instantiate(cfg.model.anchor_generator)
    assert anchors.strides == STRIDES
    return [
        ((boxes[:, 2:] - boxes[:, :2]) / stride).tolist()
        for boxes, stride in zip(anchors.cell_anchors, STRIDES, strict=True)
    ]


def test_there_is_an_ecm_for_every_default():
    defaults = ["atss_r101_fpn_1x", "atss_r50_fpn_1x", "atss_r50_fpn_2x"]
    defaults += ["fcos_r101_fpn_1x", "fcos_r50_fpn_1x", "fcos_r50_fpn_2x"]
    defaults += ["varifocalnet_r50_fpn_1x"]
    assert sorted([*defaults, *(f"{name}_ecm" for name in defaults)]) == LVIS
    assert len(COCO) == 3 + 5 + 5


@pytest.mark.parametrize("name", LVIS)
def test_lvis_has_the_settings_of_the_ecm_paper(name):
    cfg = experiment(f"lvis_v1/{name}")
    model, train = cfg.model, cfg.dataloader.train
    assert (model.num_classes, model.test_score_thresh) == (1203, 1e-4)
    assert model.max_detections_per_image == 300 == cfg.dataloader.evaluator.max_dets_per_image
    assert model.assigner.get("num_candidates") == (None if name.startswith("fcos") else 18)
    assert (cfg.optimizer.lr, train.total_batch_size) == (0.01, 16)
    assert train.sampler.repeat_factors.repeat_thresh == 1e-3
    assert train.mapper.augmentations[0].short_edge_length == [640, 672, 704, 736, 768, 800]
    depth = model.backbone.bottom_up.stages.depth
    assert depth == (101 if "r101" in name else 50)
    assert cfg.train.init_checkpoint.endswith(f"R-{depth}.pkl")


@pytest.mark.parametrize("name", LVIS)
def test_lvis_schedules_are_those_of_two_stage_detectors(name):
    cfg, is_ecm = experiment(f"lvis_v1/{name}"), name.endswith("_ecm")
    epochs, drops = (24, (20 if is_ecm else 16, 22)) if "2x" in name else (12, (8, 11))
    assert cfg.train.max_iter == epochs * 7674
    assert rates(cfg, epochs)[2:] == pytest.approx(steps(epochs, *drops)[2:])
    warmup = 10_000 if is_ecm else 1000
    half = instantiate(cfg.lr_multiplier)(0.5 * warmup / cfg.train.max_iter)
    assert half == pytest.approx(0.5, rel=1e-2)
    clipping = cfg.hooks.get("gradient_clipping")
    assert clipping.max_norm == 5 if is_ecm else clipping is None


@pytest.mark.parametrize("name", [name for name in LVIS if name.endswith("_ecm")])
@pytest.mark.usefixtures("lvis_datasets")
def test_ecm_changes_classification_alone(name):
    cfg, default = (experiment(f"lvis_v1/{x}") for x in (name, name.removesuffix("_ecm")))
    loss, plain = instantiate(cfg.model.loss), instantiate(default.model.loss)
    assert type(loss) is type(plain) and type(loss.surrogate) is ECMSurrogate
    assert (loss.alpha, loss.gamma, loss.box_weight) == (plain.alpha, plain.gamma, plain.box_weight)
    assert loss.alpha == (0.75 if name.startswith("varifocalnet") else 0.25)
    assert loss.box_weight == (1 if name.startswith("fcos") else 2)
    assert loss.surrogate.class_counts.tolist() == instance_counts("lvis_v1_train").tolist()


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("lvis_v1/fcos_r50_fpn_1x", [[1, 1]]),
        ("lvis_v1/atss_r50_fpn_1x", [[8, 8]]),
        ("lvis_v1/varifocalnet_r50_fpn_1x", [[8, 8]]),
        ("coco/paa_r50_fpn_1x", [[8, 8]]),
        ("coco/atss_r50_fpn_100ep_alrp", [[4, 4], [4 * 2**0.5] * 2]),
        (
            "coco/retinanet_r50_fpn_100ep_ap",
            [[4 * s / r**0.5, 4 * s * r**0.5] for s in (1, 2**0.5) for r in (0.5, 1, 2)],
        ),
        *((f"coco/{name}", [[4 * 2 ** (i / 3)] * 2 for i in range(3)]) for name in RANKED),
    ],
)
def test_anchors_are_the_papers(name, shapes):
    cfg = experiment(name)
    for level in anchor_shapes(cfg):
        assert level == [pytest.approx(shape, rel=1e-5) for shape in shapes]
    assert cfg.model.head.get("num_anchors", 1) == len(shapes)


@pytest.mark.parametrize("name", COCO)
def test_p6_is_made_of_p5_but_in_retinanet(name):
    cfg = experiment(f"coco/{name}")
    top_block = cfg.model.backbone.top_block
    is_retinanet = "100ep" in name
    expected = ("res5", 2048) if is_retinanet else ("p5", 256)
    assert (top_block.get("in_feature", "res5"), top_block.in_channels) == expected
    assert cfg.model.head.norm == ("" if is_retinanet else "GN")
    assert (cfg.model.test_score_thresh, cfg.model.max_detections_per_image) == (0.05, 100)
    assert cfg.model.test_nms_thresh == (0.5 if is_retinanet else 0.6)


@pytest.mark.parametrize("name", RANKED)
def test_ranking_losses_have_the_released_settings(name):
    cfg = experiment(f"coco/{name}")
    detector, method = name.split("_")[0], name.split("_")[-1]
    loss = instantiate(cfg.model.loss)
    assert loss.algorithm == ("bucketed" if method.startswith("b") else "exact")
    is_ap = method.endswith("ap")
    assert type(loss).__name__ == ("APLoss" if is_ap else "RankSortLoss")
    assert loss.delta == (1.0 if is_ap and detector == "atss" else 0.5)
    if is_ap:
        assert loss.box_weight == (2.0 if detector == "atss" else 1.0)
        assert loss.interpolate == (method == "ap")
    assert cfg.model.quality is None and cfg.model.assigner.num_candidates == 9
    assert ("box_voting" in cfg.model) == (detector == "paa")
    assert cfg.optimizer.lr == 0.008


@pytest.mark.parametrize(
    ("name", "lr", "drops"),
    [
        ("retinanet_r50_fpn_100ep_ap", 0.002, (60, 80)),
        ("retinanet_r50_fpn_100ep_alrp", 0.008, (60, 80)),
        ("atss_r50_fpn_100ep_alrp", 0.008, (75, 95)),
    ],
)
def test_100_epochs_have_the_released_settings(name, lr, drops):
    cfg = experiment(f"coco/{name}")
    assert cfg.optimizer.lr == lr and cfg.dataloader.train.total_batch_size == 32
    assert cfg.train.max_iter == 100 * 3665
    assert rates(cfg, 100) == pytest.approx(steps(100, *drops))
    loss = instantiate(cfg.model.loss)
    assert loss.delta == 1
    if name.endswith("alrp"):
        assert loss.iou_threshold == 0.5 and cfg.model.box_loss._target_ is GIoUBoxLoss
    else:
        assert (loss.box_weight, cfg.model.box_loss.beta, loss.interpolate) == (1.0, 1.0, True)
