"""One-stage detectors give what the golden files hold, and the slow references still do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, ImageList, Instances
from golden import make_dense, slow_heads
from torch import nn

from rankdet.losses.focal import FocalLoss
from rankdet.modeling import (
    ATSSAssigner,
    BestAnchorMatcher,
    CenterAssigner,
    Centerness,
    ClassQualityHead,
    GIoUBoxLoss,
    IoUAssigner,
    Locations,
    LowUpToLikeliest,
    OneStageDetector,
    PAAAssigner,
    Pairs,
    QualityHead,
    ScaledHead,
    ScoreVoting,
    VarifocalHead,
)

NUM_CLASSES = make_dense.NUM_CLASSES
DELTAS = Box2BoxTransform((10.0, 10.0, 5.0, 5.0))
THRESHOLDS = [0.4, 0.5], [0, -1, 1]
ASSIGNERS = {  # and the sides of the anchors in strides
    "iou": (IoUAssigner(Matcher(*THRESHOLDS, allow_low_quality_matches=True), NUM_CLASSES), 4),
    "iou_released": (IoUAssigner(BestAnchorMatcher(*THRESHOLDS), NUM_CLASSES), 4),
    "center": (CenterAssigner(NUM_CLASSES), 1),
    "atss": (ATSSAssigner(NUM_CLASSES), 4),
    "paa": (PAAAssigner(NUM_CLASSES, DELTAS), 4),
    "paa_released": (PAAAssigner(NUM_CLASSES, DELTAS, division=LowUpToLikeliest()), 4),
}
HEADS = {"plain": ScaledHead, "bbox": QualityHead, "cls": ClassQualityHead}
SHAPES = [
    ShapeSpec(channels=make_dense.CHANNELS, stride=stride) for stride in make_dense.HEAD_STRIDES
]


def golden(name):
    with np.load(Path(__file__).with_name(name)) as arrays:
        return dict(arrays)


def tensors(name):
    return {key: torch.tensor(value) for key, value in golden(name).items()}


@pytest.mark.parametrize("name", make_dense.FILES)
def test_files_are_what_the_slow_references_give(name):
    actual, expected = golden(name), make_dense.FILES[name]()
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", make_dense.FILES)
def test_files_are_small(name):
    assert Path(__file__).with_name(name).stat().st_size < 20_000


@pytest.mark.parametrize("name", ASSIGNERS)
def test_assigners(name):
    x = tensors("dense_assigners.npz")
    assigner, size = ASSIGNERS[name]
    anchors = [Boxes(torch.tensor(level).float()) for level in make_dense.anchors_of(size)]
    gt = Instances((64, 64), gt_boxes=Boxes(x["boxes"]), gt_classes=x["classes"])
    targets = assigner(anchors, [gt], x["logits"][None], x["deltas"][None])
    matches = x[name]
    has_object = matches >= 0
    assert has_object.any()
    labels = torch.where(matches == -2, -1, NUM_CLASSES)
    labels[has_object] = x["classes"][matches[has_object]]
    assert torch.equal(targets.labels[0], labels)
    assert torch.equal(targets.gt_boxes[0][has_object], x["boxes"][matches[has_object]])


def load(head, arrays):
    """Give a head of one convolution per branch the weights of the file."""
    weights = {key: arrays[key] for key in head.state_dict()}
    head.load_state_dict(weights)
    return head


def features(arrays):
    return [arrays[f"feature{level}"][None] for level in range(len(SHAPES))]


def assert_outputs_are(outputs, arrays, name):
    for number, levels in enumerate(outputs):
        for level, output in enumerate(levels):
            expected = arrays[f"{name}.{number}.{level}"].float()
            torch.testing.assert_close(output[0].detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_heads(name):
    arrays = tensors("dense_heads.npz")
    options = dict(num_classes=NUM_CLASSES, conv_dims=[make_dense.CHANNELS], norm="")
    head = load(HEADS[name](input_shape=SHAPES, **options), arrays)
    outputs = head(features(arrays))
    assert len(outputs) == 2 + (name != "plain")
    assert_outputs_are(outputs, arrays, name)


def test_varifocal_head():
    arrays = tensors("dense_heads.npz")
    head = VarifocalHead(
        input_shape=SHAPES,
        num_classes=NUM_CLASSES,
        conv_dims=[make_dense.CHANNELS],
        norm="",
        first_distance=slow_heads.FIRST_DISTANCE,
    )
    assert_outputs_are(load(head, arrays)(features(arrays)), arrays, "varifocal")


class NoBackbone(nn.Module):
    """Stands where nothing is computed from images."""


def make_detector(name):
    code, has_quality, by_location, sigma = make_dense.DETECTORS[name]
    is_distance = code is make_dense.SlowDistances
    sizes = [[(1 if is_distance else 4) * stride] for stride in make_dense.STRIDES]
    head = ScaledHead(
        input_shape=SHAPES, num_classes=NUM_CLASSES, conv_dims=[make_dense.CHANNELS], norm=""
    )
    return OneStageDetector(
        backbone=NoBackbone(),
        head=head,
        head_in_features=["p3", "p4", "p5"],
        anchor_generator=DefaultAnchorGenerator(
            sizes=sizes, aspect_ratios=[1.0], strides=list(make_dense.STRIDES)
        ),
        box2box_transform=Box2BoxTransformLinear() if is_distance else DELTAS,
        assigner=ATSSAssigner(NUM_CLASSES),
        loss=FocalLoss(NUM_CLASSES),
        box_loss=GIoUBoxLoss(),
        quality=Centerness() if has_quality else None,
        num_classes=NUM_CLASSES,
        candidates=Locations() if by_location else Pairs(),
        test_score_thresh=make_dense.THRESHOLDS[0],
        test_nms_thresh=make_dense.THRESHOLDS[1],
        test_topk_candidates=make_dense.NUMBERS[0],
        max_detections_per_image=make_dense.NUMBERS[1],
        box_voting=sigma and ScoreVoting(sigma),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )


def level_maps(arrays, key, shift=0.0):
    """Levels of ``(1, K, H, W)``, from one row per cell."""
    maps = []
    for level, stride in enumerate(make_dense.STRIDES):
        side = make_dense.SIZE // stride
        rows = arrays[f"{key}{level}"].reshape(side * side, -1) + shift
        maps.append(rows.T.reshape(1, -1, side, side))
    return maps


@pytest.mark.parametrize("name", make_dense.DETECTORS)
def test_detections(name):
    arrays, model = tensors("dense_inference.npz"), make_detector(name)
    code, has_quality, *_ = make_dense.DETECTORS[name]
    shift = 2.0 if code is make_dense.SlowDistances else 0.0
    predictions = [level_maps(arrays, "logits"), level_maps(arrays, "deltas", shift)]
    if has_quality:
        predictions.append(level_maps(arrays, "quality"))
    images = ImageList(torch.zeros(1, 3, 64, 64), [make_dense.IMAGE])
    (found,) = model.forward_inference(images, predictions[0], tuple(predictions))
    expected = arrays[name].float()
    assert len(found) == len(expected) == make_dense.NUMBERS[1]
    assert torch.equal(found.pred_classes, expected[:, 1].long())
    torch.testing.assert_close(found.scores, expected[:, 0])
    torch.testing.assert_close(found.pred_boxes.tensor, expected[:, 2:], rtol=1e-4, atol=1e-3)
