"""Detectors of a few thousand weights with ranking losses in every head, and images for them."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from detectron2.structures import BitMasks, Boxes, Instances
from torch import nn

from rankdet.modeling.box_losses import GIoUBoxLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.cascade_heads import CascadeHeads
from rankdet.modeling.mask_head import DiceMaskHead
from rankdet.modeling.rpn import LossRPN
from rankdet.modeling.unsampled_roi_heads import UnsampledCascadeROIHeads, UnsampledROIHeads

NUM_CLASSES, CHANNELS, STRIDE, SIZE = 3, 8, 8, 48


class TinyBackbone(Backbone):
    """One convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, STRIDE, stride=STRIDE)

    def forward(self, x):
        return {"p3": self.conv(x).relu()}

    def output_shape(self):
        return {"p3": ShapeSpec(channels=CHANNELS, stride=STRIDE)}


def make_predictor(loss, num_features=16, **options):
    options = {
        "box2box_transform": Box2BoxTransform(weights=(10, 10, 5, 5)),
        "box_loss": GIoUBoxLoss(),
        **options,
    }
    return BoxPredictor(
        ShapeSpec(channels=num_features), loss=loss, num_classes=NUM_CLASSES, **options
    )


def rpn_parts():
    """What Detectron2's RPN takes, too."""
    return dict(
        in_features=["p3"],
        head=StandardRPNHead(in_channels=CHANNELS, num_anchors=2),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[12, 24]], aspect_ratios=[1.0], strides=[STRIDE]
        ),
        anchor_matcher=Matcher([0.3, 0.5], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        pre_nms_topk=(40, 20),
        post_nms_topk=(20, 10),
    )


def make_rpn(loss, **options):
    return LossRPN(loss=loss, **{"box_loss": GIoUBoxLoss(), **rpn_parts(), **options})


def _pooler(size):
    return ROIPooler(
        output_size=size, scales=[1 / STRIDE], sampling_ratio=1, pooler_type="ROIAlignV2"
    )


def _box_head():
    return FastRCNNConvFCHead(
        ShapeSpec(channels=CHANNELS, height=3, width=3), conv_dims=[], fc_dims=[16]
    )


def _matcher(threshold):
    return Matcher([threshold], [0, 1], allow_low_quality_matches=False)


def _common_parts():
    return {
        "num_classes": NUM_CLASSES,
        "batch_size_per_image": 1,
        "positive_fraction": 0.5,
        "box_in_features": ["p3"],
        "box_pooler": _pooler(3),
        "mask_in_features": ["p3"],
        "mask_pooler": _pooler(4),
    }


def make_mask_head(kind=DiceMaskHead, **options):
    shape = ShapeSpec(channels=CHANNELS, height=4, width=4)
    return kind(shape, num_classes=NUM_CLASSES, conv_dims=[6], **options)


def make_heads(make_loss, **options):
    """Mask R-CNN's heads; ``make_loss`` takes a number of classes."""
    parts = {
        **_common_parts(),
        "mask_head": make_mask_head(),
        "proposal_matcher": _matcher(0.5),
        "box_head": _box_head(),
        "box_predictor": make_predictor(make_loss(NUM_CLASSES)),
    }
    return UnsampledROIHeads(**{**parts, **options})


def make_cascade(make_loss):
    """Detectron2's Cascade Mask R-CNN heads with two stages."""
    return UnsampledCascadeROIHeads(
        **_common_parts(),
        mask_head=make_mask_head(),
        box_heads=[_box_head() for _ in range(2)],
        box_predictors=[
            make_predictor(make_loss(NUM_CLASSES), cls_agnostic_bbox_reg=True) for _ in range(2)
        ],
        proposal_matchers=[_matcher(0.5), _matcher(0.6)],
    )


def make_cascade_heads(make_loss, num_stages=2, **options):
    """The releases' Cascade Mask R-CNN heads on all proposals; ``options`` take their place."""
    stages = range(num_stages)
    parts = {
        **_common_parts(),
        "batch_size_per_image": None,
        "box_heads": [_box_head() for _ in stages],
        "box_predictors": [
            make_predictor(make_loss(NUM_CLASSES), cls_agnostic_bbox_reg=True) for _ in stages
        ],
        "mask_heads": [make_mask_head() for _ in stages],
        "proposal_matchers": [_matcher(0.5 + stage / 10) for stage in stages],
    }
    return CascadeHeads(**{**parts, **options})


def make_detector(make_loss, make_roi_heads=make_heads):
    """A whole detector with the same kind of loss in the RPN and in the RoI heads."""
    torch.manual_seed(0)
    return GeneralizedRCNN(
        backbone=TinyBackbone(),
        proposal_generator=make_rpn(make_loss(1)),
        roi_heads=make_roi_heads(make_loss),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )


def make_targets(classes, seed=0):
    """Ground truth of an image: one box and mask for each class in the list."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 20, (len(classes), 2), generator=generator).float()
    sides = torch.randint(12, 26, (len(classes), 2), generator=generator).float()
    boxes = torch.cat([corners, corners + sides], dim=1)
    masks = torch.zeros(len(classes), SIZE, SIZE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1 : (y1 + y2) // 2, x1:x2] = True
    return Instances(
        (SIZE, SIZE),
        gt_boxes=Boxes(boxes),
        gt_classes=torch.tensor(classes, dtype=torch.int64),
        gt_masks=BitMasks(masks),
    )


def make_image(classes, seed=0):
    """An input of the detector."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "image_id": seed,
        "image": torch.rand(3, SIZE, SIZE, generator=generator),
        "instances": make_targets(classes, seed),
        "height": SIZE,
        "width": SIZE,
    }
