"""The two-stage experiments with ranking losses have the hyper-parameters of the releases."""

from pathlib import Path

import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import instantiate

from rankdet.engine.config import load_config

ROOT = Path(__file__).parents[2] / "configs"
RANKING = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path.stem.endswith(("_ap", "_bap", "_rs", "_brs", "_alrp", "_ndcg"))
    and "common" not in path.parts
    and "rcnn" in path.stem
)
COCO_ITERATIONS, LVIS_ITERATIONS, CITYSCAPES_ITERATIONS = 7330, 7674, 1483


def built(model):
    with torch.device("meta"):
        return instantiate(model)


def box_predictors(cfg):
    heads = cfg.model.roi_heads
    return heads.get("box_predictors") or [heads.box_predictor]


@pytest.mark.parametrize("path", RANKING, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_rpn_and_roi_heads_rank_without_sampling(path):
    cfg = load_config(str(path))
    rpn, method = cfg.model.proposal_generator, path.stem.rsplit("_", 1)[1]
    losses = [instantiate(part.loss) for part in (rpn, *box_predictors(cfg))]
    names = {"ap": "APLoss", "bap": "APLoss", "alrp": "ALRPLoss", "ndcg": "NDCGLoss"}
    for loss in losses:
        assert type(loss).__name__ == names.get(method, "RankSortLoss")
        assert loss.algorithm == ("bucketed" if method.startswith("b") else "exact")
        assert loss.delta == (0.5 if method.endswith("rs") else 1.0)
    num_classes = cfg.model.roi_heads.num_classes
    assert [loss.num_classes for loss in losses] == [1] + [num_classes] * (len(losses) - 1)
    for part in (rpn, *box_predictors(cfg)):
        assert list(part.box2box_transform.weights) == [10, 10, 5, 5]
    assert rpn.loss_weight == 0.2 and "batch_size_per_image" not in rpn
    assert rpn.anchor_matcher.thresholds == [0.3, 0.7]
    assert rpn.anchor_matcher.allow_low_quality_matches


@pytest.mark.parametrize("method", ["rs", "brs"])
@pytest.mark.parametrize(
    ("name", "threshold", "num_detections", "is_agnostic"),
    [
        ("coco/faster_rcnn_r50_fpn_1x", 0.4, 100, False),
        ("coco/mask_rcnn_r50_fpn_1x", 0.4, 100, False),
        ("coco/cascade_rcnn_r50_fpn_1x", 0.4, 100, True),
        ("lvis_v1/mask_rcnn_r50_fpn_1x", 0.6, 300, False),
    ],
)
def test_rank_sort_has_the_released_settings(name, method, threshold, num_detections, is_agnostic):
    cfg = load_config(str(ROOT / f"{name}_{method}.py"))
    rpn = cfg.model.proposal_generator
    assert (rpn.pre_nms_topk[0], rpn.post_nms_topk[0], rpn.nms_thresh) == (2000, 1000, 0.7)
    for predictor in box_predictors(cfg):
        assert predictor.test_score_thresh == threshold
        assert predictor.test_topk_per_image == num_detections
        assert predictor.get("cls_agnostic_bbox_reg", False) == is_agnostic
        assert predictor.get("loss_weight", 1.0) == 1.0 and "prior_prob" not in predictor
    assert cfg.dataloader.train.mapper.use_instance_mask == name.split("/")[1].startswith("mask")
    resize = cfg.dataloader.train.mapper.augmentations[0]
    assert resize.max_size == 1333
    assert (resize.short_edge_length == [800]) == name.startswith("coco")
    assert (cfg.optimizer.lr, cfg.optimizer.momentum, cfg.optimizer.weight_decay) == (
        0.012,
        0.9,
        1e-4,
    )


@pytest.mark.parametrize(
    ("name", "ious", "num_boxes", "border"),
    [
        ("coco/faster_rcnn_r50_fpn_1x_rs", [0.5], 80, -1),
        ("coco/faster_rcnn_r50_fpn_100ep_alrp", [0.5], 80, -1),
        ("coco/mask_rcnn_r50_fpn_1x_rs", [0.5], 80, -1),
        ("coco/cascade_rcnn_r50_fpn_1x_rs", [0.5, 0.6, 0.7], 1, 0),
        ("lvis_v1/mask_rcnn_r50_fpn_1x_rs", [0.5], 1203, -1),
        ("cityscapes/mask_rcnn_r50_fpn_brs", [0.5], 8, -1),
    ],
)
def test_built_detectors_have_the_released_settings(name, ious, num_boxes, border):
    cfg = load_config(str(ROOT / f"{name}.py"))
    anchors = instantiate(cfg.model.proposal_generator.anchor_generator)
    assert anchors.strides == [4, 8, 16, 32, 64]
    widths = [(boxes[:, 2] - boxes[:, 0]).tolist() for boxes in anchors.cell_anchors]
    expected = [[8 * s * r**0.5 for r in (2, 1, 0.5)] for s in anchors.strides]
    assert widths == [pytest.approx(row) for row in expected]
    model = built(cfg.model)
    assert model.proposal_generator.anchor_boundary_thresh == border
    heads = model.roi_heads
    is_cascade = len(ious) > 1
    matchers = heads.proposal_matchers if is_cascade else [heads.proposal_matcher]
    assert [matcher.thresholds[1] for matcher in matchers] == ious
    for predictor in heads.box_predictor if is_cascade else [heads.box_predictor]:
        assert predictor.test_nms_thresh == 0.5
        assert predictor.bbox_pred.out_features == 4 * num_boxes


def test_alrp_has_the_released_settings():
    cfg = load_config(str(ROOT / "coco/faster_rcnn_r50_fpn_100ep_alrp.py"))
    (predictor,) = box_predictors(cfg)
    assert (predictor.test_score_thresh, predictor.test_topk_per_image) == (0.05, 100)
    assert instantiate(predictor.loss).iou_threshold == 0.5
    assert instantiate(cfg.model.proposal_generator.loss).iou_threshold == 0.7
    assert not cfg.model.roi_heads.proposal_append_gt
    test_resize = cfg.dataloader.test.mapper.augmentations[0]
    assert (test_resize.short_edge_length, test_resize.max_size) == (500, 833)
    assert cfg.optimizer.lr == 0.012


def test_cityscapes_has_the_released_settings():
    cfg = load_config(str(ROOT / "cityscapes/mask_rcnn_r50_fpn_brs.py"))
    resize = cfg.dataloader.train.mapper.augmentations[0]
    assert (list(resize.short_edge_length), resize.max_size) == ([800, 1024], 2048)
    assert resize.sample_style == "range" and cfg.optimizer.lr == 0.012
    assert "COCO-InstanceSegmentation" in cfg.train.init_checkpoint


def shapes(model):
    return {name: p.shape for name, p in built(model).state_dict().items()}


def test_cityscapes_starts_from_all_but_the_last_layers_of_detectron2_s_coco_model():
    cfg = load_config(str(ROOT / "cityscapes/mask_rcnn_r50_fpn_brs.py"))
    coco = shapes(model_zoo.get_config("common/models/mask_rcnn_fpn.py").model)
    differing = {name for name, shape in shapes(cfg.model).items() if coco.get(name) != shape}
    last = ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")
    assert differing == {f"roi_heads.{part}.{p}" for part in last for p in ("weight", "bias")}


@pytest.mark.parametrize(
    ("name", "batch_size", "per_epoch", "drops", "epochs"),
    [
        ("coco/faster_rcnn_r50_fpn_1x_rs", 16, COCO_ITERATIONS, (8, 11), 12),
        ("coco/cascade_rcnn_r50_fpn_1x_brs", 16, COCO_ITERATIONS, (8, 11), 12),
        ("coco/mask_rcnn_r50_fpn_1x_brs", 16, COCO_ITERATIONS, (8, 11), 12),
        ("coco/faster_rcnn_r50_fpn_100ep_alrp", 32, COCO_ITERATIONS / 2, (75, 95), 100),
        ("lvis_v1/mask_rcnn_r50_fpn_1x_brs", 16, LVIS_ITERATIONS, (8, 11), 12),
        ("cityscapes/mask_rcnn_r50_fpn_brs", 16, CITYSCAPES_ITERATIONS, (8,), 12),
    ],
)
def test_schedules_are_those_of_the_papers(name, batch_size, per_epoch, drops, epochs):
    cfg = load_config(str(ROOT / f"{name}.py"))
    multiplier = instantiate(cfg.lr_multiplier)
    assert cfg.train.max_iter == epochs * per_epoch
    assert cfg.dataloader.train.total_batch_size == batch_size
    rates = [multiplier((epoch + 0.5) / epochs) for epoch in range(epochs)]
    expected = [10.0 ** -sum(epoch >= drop for drop in drops) for epoch in range(epochs)]
    assert rates == pytest.approx(expected)
    assert multiplier(501 / cfg.train.max_iter) == pytest.approx(1.0)
    assert multiplier(250 / cfg.train.max_iter) == pytest.approx(0.5, rel=1e-2)
