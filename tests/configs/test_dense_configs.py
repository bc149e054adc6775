"""The one-stage experiments on glyphs have the parts that their names promise."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from rankdet.data.class_stats import instance_counts
from rankdet.engine.config import load_config
from rankdet.losses.ecm_surrogate import ECMSurrogate

ROOT = Path(__file__).parents[2] / "configs/glyphs"
ONE_STAGE = sorted(path for path in ROOT.glob("*.py") if "rcnn" not in path.stem)
METHODS = {
    "ap": ("APLoss", "exact"),
    "bap": ("APLoss", "bucketed"),
    "alrp": ("ALRPLoss", "exact"),
    "rs": ("RankSortLoss", "exact"),
    "brs": ("RankSortLoss", "bucketed"),
}
ECM = [path for path in ONE_STAGE if path.stem.endswith("_ecm")]
SMALL = "dataloader.train.dataset.names=glyphs_smoke_train"
RANKING = [path for path in ONE_STAGE if path.stem.rsplit("_", 1)[1] in METHODS]


def model_of(path):
    cfg = load_config(str(path), [SMALL])
    with torch.device("meta"):
        return instantiate(cfg.model)


def built(name):
    return model_of(ROOT / f"{name}.py")


@pytest.mark.parametrize("path", ONE_STAGE, ids=lambda path: path.stem)
def test_tested_by_the_protocol_of_lvis(path):
    model = load_config(str(path)).model
    assert (model.test_score_thresh, model.max_detections_per_image) == (1e-4, 300)
    assert model.num_classes == 36 and model.get("test_topk_candidates", 1000) == 1000


@pytest.mark.parametrize("path", RANKING, ids=lambda path: path.stem)
def test_ranking_losses_need_no_quality(path):
    model = model_of(path)
    name, algorithm = METHODS[path.stem.rsplit("_", 1)[1]]
    assert type(model.loss).__name__ == name and model.loss.algorithm == algorithm
    assert model.loss.delta == (0.5 if name == "RankSortLoss" else 1.0)
    is_ap_of_retinanet = path.stem == "retinanet_r18_fpn_ap"
    box_loss = "SmoothL1BoxLoss" if is_ap_of_retinanet else "GIoUBoxLoss"
    assert type(model.box_loss).__name__ == box_loss and model.quality is None


def test_retinanet_assigns_and_penalises_boxes_as_in_detectron2():
    model = built("retinanet_r18_fpn")
    matcher = model.assigner.matcher
    assert matcher.thresholds[1:-1] == [0.4, 0.5] and matcher.labels == [0, -1, 1]
    assert matcher.allow_low_quality_matches and model.box_loss.beta == 0
    assert built("retinanet_r18_fpn_ap").box_loss.beta == 1
    assert (model.loss.alpha, model.test_nms_thresh) == (0.25, 0.5)


def test_points_of_fcos_are_squares_of_a_stride_in_the_middle_of_a_cell():
    model, sizes = built("fcos_r18_fpn"), [4, 8, 16]
    assert (model.assigner.radius, model.test_nms_thresh) == (1.5, 0.6)
    with torch.device("cpu"):
        cfg = load_config(str(ROOT / "fcos_r18_fpn.py")).model.anchor_generator
        anchors = instantiate(cfg)([torch.zeros(1, 1, 2, 2)] * 3)
    for stride, boxes in zip(sizes, anchors, strict=True):
        assert boxes.tensor[0].tolist() == [0, 0, stride, stride] and len(boxes) == 4


@pytest.mark.parametrize("path", ECM, ids=lambda path: path.stem)
def test_ecm_counts_the_training_set_and_changes_classification_alone(path):
    paths = path, path.with_stem(path.stem.removesuffix("_ecm"))
    cfg, default = (load_config(str(x), [SMALL, "model.num_classes=10"]).model for x in paths)
    assert cfg.keys() == default.keys()
    assert [key for key in default if cfg[key] != default[key]] == ["loss"]
    loss, plain = instantiate(cfg.loss), instantiate(default.loss)
    assert type(loss) is type(plain) and type(loss.surrogate) is ECMSurrogate
    assert (loss.alpha, loss.gamma, loss.box_weight) == (plain.alpha, plain.gamma, plain.box_weight)
    assert loss.surrogate.class_counts.tolist() == instance_counts("glyphs_smoke_train").tolist()
