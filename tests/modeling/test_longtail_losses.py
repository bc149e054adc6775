"""Losses with statistics in Detectron2's RoI heads, one stage and cascade."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import CascadeROIHeads, FastRCNNConvFCHead, StandardROIHeads
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from rankdet.losses.eql import EQLLoss, EQLv2Loss
from rankdet.losses.label_smoothing import OnlineLabelSmoothingLoss
from rankdet.losses.seesaw import SeesawLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.normed_layers import NormedLinear

NUM_CLASSES, CHANNELS, SIZE = 3, 4, 64
LOSSES = {
    "seesaw": lambda: SeesawLoss(NUM_CLASSES),
    "eql": lambda: EQLLoss([900, 30, 1], num_images=1000, threshold=0.01),
    "eqlv2": lambda: EQLv2Loss(NUM_CLASSES),
    "online_label_smoothing": lambda: OnlineLabelSmoothingLoss(NUM_CLASSES, iterations_per_epoch=1),
}
NUM_LOGITS = {
    "seesaw": NUM_CLASSES + 2,
    "eql": NUM_CLASSES,
    "eqlv2": NUM_CLASSES + 1,
    "online_label_smoothing": NUM_CLASSES + 1,
}


def make_matcher(threshold):
    return Matcher([threshold], [0, 1], allow_low_quality_matches=False)


def make_box_head():
    shape = ShapeSpec(channels=CHANNELS, height=3, width=3)
    return FastRCNNConvFCHead(shape, conv_dims=[], fc_dims=[16])


def make_predictor(name, **options):
    return BoxPredictor(
        ShapeSpec(channels=16),
        loss=LOSSES[name](),
        num_classes=NUM_CLASSES,
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        classifier=NormedLinear.with_temperature(20.0),
        **options,
    )


def common_parts():
    return {
        "num_classes": NUM_CLASSES,
        "batch_size_per_image": 8,
        "positive_fraction": 0.5,
        "box_in_features": ["p3"],
        "box_pooler": ROIPooler(3, scales=[1 / 8], sampling_ratio=1, pooler_type="ROIAlignV2"),
    }


def make_heads(name):
    return StandardROIHeads(
        **common_parts(),
        box_head=make_box_head(),
        box_predictor=make_predictor(name),
        proposal_matcher=make_matcher(0.5),
    )


def make_cascade(name):
    return CascadeROIHeads(
        **common_parts(),
        box_heads=[make_box_head() for _ in range(3)],
        box_predictors=[make_predictor(name, cls_agnostic_bbox_reg=True) for _ in range(3)],
        proposal_matchers=[make_matcher(threshold) for threshold in (0.5, 0.6, 0.7)],
    )


def predictors_of(roi_heads):
    return [module for module in roi_heads.modules() if isinstance(module, BoxPredictor)]


def run(roi_heads, classes):
    """One batch of an image per list of ground-truth classes."""
    corners = torch.tensor([[2.0, 2, 24, 24], [30, 4, 60, 30], [8, 34, 40, 62]])
    proposals, targets = [], []
    for image in classes:
        boxes = corners[: len(image)]
        gt_classes = torch.tensor(image, dtype=torch.int64)
        targets.append(Instances((SIZE, SIZE), gt_boxes=Boxes(boxes), gt_classes=gt_classes))
        beside = Boxes(torch.cat([corners + 1, corners.roll(1, dims=1).sort(dim=1).values]))
        proposals.append(
            Instances((SIZE, SIZE), proposal_boxes=beside, objectness_logits=torch.zeros(6))
        )
    features = {"p3": torch.randn(len(classes), CHANNELS, SIZE // 8, SIZE // 8)}
    with EventStorage():
        return roi_heads(None, features, proposals, targets)


losses = pytest.mark.parametrize("name", LOSSES)
heads = pytest.mark.parametrize("make_roi_heads", [make_heads, make_cascade])


@losses
@heads
@pytest.mark.parametrize("classes", [[[0, 2, 1], [1]], [[], []]], ids=["objects", "background"])
def test_trains_in_every_stage(name, make_roi_heads, classes):
    torch.manual_seed(0)
    roi_heads = make_roi_heads(name)
    _, values = run(roi_heads, classes)
    sum(values.values()).backward()
    assert all(torch.isfinite(value) for value in values.values())
    for predictor in predictors_of(roi_heads):
        assert predictor.cls_score.out_features == NUM_LOGITS[name]
        gradient = predictor.cls_score.weight.grad
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


@losses
@heads
def test_detects_after_training(name, make_roi_heads):
    torch.manual_seed(0)
    roi_heads = make_roi_heads(name)
    run(roi_heads, [[0, 2, 1], [1]])
    roi_heads.eval()
    detections, _ = run(roi_heads, [[0], []])
    for image in detections:
        assert len(image) > 0 and image.pred_classes.max() < NUM_CLASSES
        assert ((image.scores > 0) & (image.scores <= 1)).all()


def test_each_stage_counts_its_own_samples():
    """Later stages match at a higher overlap, so they have fewer foreground samples."""
    torch.manual_seed(0)
    cascade = make_cascade("seesaw")
    run(cascade, [[0, 2, 1], [1]])
    first, *_, last = [predictor.loss.class_counts for predictor in predictors_of(cascade)]
    assert (first >= last).all() and first.sum() > last.sum()


@pytest.mark.parametrize("name", ["seesaw", "eqlv2", "online_label_smoothing"])
@heads
def test_statistics_are_in_the_checkpoint(name, make_roi_heads):
    torch.manual_seed(0)
    trained, resumed = make_roi_heads(name), make_roi_heads(name)
    run(trained, [[0, 2, 1], [1]])
    resumed.load_state_dict(trained.state_dict())
    for before, after in zip(predictors_of(trained), predictors_of(resumed), strict=True):
        statistics = before.loss.state_dict()
        assert any(sums.any() for sums in statistics.values())
        for key, sums in after.loss.state_dict().items():
            assert torch.equal(sums, statistics[key])
