"""Cascades of a few thousand weights as in the releases, and batches for them."""

import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from support.tiny_two_stage import (
    CHANNELS,
    NUM_CLASSES,
    SIZE,
    STRIDE,
    make_cascade_heads,
    make_mask_head,
    make_predictor,
    make_targets,
)

from rankdet.losses import SoftmaxCrossEntropyLoss
from rankdet.modeling.box_losses import SmoothL1BoxLoss
from rankdet.modeling.mask_head import MaskHead

TARGETS = [[0, 2, 1], [], [1]]
STAGES = [(10.0, 5.0, 1.0), (20.0, 10.0, 0.5), (30.3, 14.9, 0.25)]


def make_stage(xy, wh, weight, **options):
    predictor = make_predictor(
        SoftmaxCrossEntropyLoss(NUM_CLASSES),
        box2box_transform=Box2BoxTransform(weights=(xy, xy, wh, wh)),
        box_loss=SmoothL1BoxLoss(0.3),
        cls_agnostic_bbox_reg=True,
        loss_weight=weight,
        **options,
    )
    torch.nn.init.normal_(predictor.bbox_pred.weight, std=0.5)
    torch.nn.init.normal_(predictor.cls_score.weight, std=0.5)
    torch.nn.init.normal_(predictor.cls_score.bias)
    return predictor


def make_released(options=(), **parts):
    """Three stages of softmax, smooth L1 and cross-entropy of masks, as in mmdetection."""
    torch.manual_seed(0)
    return make_cascade_heads(
        SoftmaxCrossEntropyLoss,
        num_stages=3,
        **{
            "box_predictors": [make_stage(*stage, **dict(options)) for stage in STAGES],
            "mask_heads": [make_mask_head(MaskHead, loss_weight=w) for *_, w in STAGES],
            **parts,
        },
    )


def make_inputs(classes=TARGETS, num_beside=6):
    """Features, proposals around and beside the ground truth, and the ground truth."""
    generator = torch.Generator().manual_seed(3)
    targets = [make_targets(image, seed) for seed, image in enumerate(classes)]
    proposals = []
    for image in targets:
        corners = torch.rand(num_beside, 2, generator=generator) * 30
        sides = 4 + torch.rand(num_beside, 2, generator=generator) * 14
        beside = torch.cat([corners, corners + sides], dim=1)
        moves = [[2.0, 1, 2, -1], [-1, 0, 3, 2], [-4, -3, 1, 2]]
        moved = [image.gt_boxes.tensor + torch.tensor(move) for move in moves]
        boxes = torch.cat([beside, *moved]).clamp(0, SIZE)
        proposals.append(Instances((SIZE, SIZE), proposal_boxes=Boxes(boxes)))
    shape = (len(classes), CHANNELS, SIZE // STRIDE, SIZE // STRIDE)
    features = torch.randn(shape, generator=generator)
    return {"p3": features.requires_grad_()}, proposals, targets


def run(roi_heads, inputs=None):
    """Detections or proposals, and losses."""
    with EventStorage():
        return roi_heads(None, *(inputs or make_inputs()))


def recorded_labels(roi_heads):
    """List that fills with the labeled proposals of each stage."""
    calls, label = [], roi_heads._label
    roi_heads._label = lambda *args: calls.append(label(*args)) or calls[-1]
    return calls
