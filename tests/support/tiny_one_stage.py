"""One-stage detectors of a few thousand weights on two levels, and parts of them."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.fcos import FCOSHead
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from support.tiny_two_stage import CHANNELS, NUM_CLASSES
from torch import nn

from rankdet.losses.focal import FocalLoss
from rankdet.modeling.box_losses import GIoUBoxLoss
from rankdet.modeling.dense.assignment import CenterAssigner, IoUAssigner
from rankdet.modeling.dense.detector import OneStageDetector
from rankdet.modeling.dense.quality import Centerness

STRIDES = [8, 16]
SHAPES = [ShapeSpec(channels=CHANNELS, stride=stride) for stride in STRIDES]
PIXELS = dict(pixel_mean=[0.5] * 3, pixel_std=[0.25] * 3)


class TwoLevels(Backbone):
    """One convolution, and its maxima."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, STRIDES[0], stride=STRIDES[0])

    def forward(self, image):
        feature = self.conv(image)
        return {"p3": feature, "p4": nn.functional.max_pool2d(feature, 2)}

    def output_shape(self):
        return dict(zip(["p3", "p4"], SHAPES, strict=True))


def make_matcher():
    return Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)


def retinanet_anchors():
    return DefaultAnchorGenerator(
        sizes=[[12, 16], [20, 28]], aspect_ratios=[0.5, 1.0], strides=STRIDES
    )


def point_anchors():
    sizes = [[stride] for stride in STRIDES]
    return DefaultAnchorGenerator(sizes=sizes, aspect_ratios=[1.0], strides=STRIDES)


def retinanet_head(num_classes=NUM_CLASSES):
    return RetinaNetHead(
        input_shape=SHAPES, num_classes=num_classes, num_anchors=4, conv_dims=[CHANNELS]
    )


def fcos_head(num_classes=NUM_CLASSES):
    return FCOSHead(input_shape=SHAPES, num_classes=num_classes, conv_dims=[CHANNELS])


def make_retinanet(loss=None, **parts):
    """RetinaNet with GIoU; any part may be another."""
    torch.manual_seed(0)
    loss = loss or FocalLoss(NUM_CLASSES)
    transform = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
    defaults = dict(
        backbone=TwoLevels(),
        head=retinanet_head(loss.num_classes),
        head_in_features=["p3", "p4"],
        anchor_generator=retinanet_anchors(),
        box2box_transform=transform,
        assigner=IoUAssigner(make_matcher(), loss.num_classes),
        loss=loss,
        box_loss=GIoUBoxLoss(),
        num_classes=loss.num_classes,
        **PIXELS,
    )
    model = OneStageDetector(**{**defaults, **parts})
    for weight in model.head.parameters():
        if weight.dim() == 4:
            nn.init.normal_(weight, std=0.1)  # Detectron2's 0.01 predicts the same everywhere.
    return model


def make_fcos(loss=None, **parts):
    """FCOS with centerness; any part may be another."""
    torch.manual_seed(0)
    loss = loss or FocalLoss(NUM_CLASSES)
    transform = Box2BoxTransformLinear(normalize_by_size=True)
    defaults = dict(
        head=fcos_head(loss.num_classes),
        anchor_generator=point_anchors(),
        box2box_transform=transform,
        assigner=CenterAssigner(loss.num_classes),
        box_loss=GIoUBoxLoss(),
        quality=Centerness(),
    )
    model = make_retinanet(loss, **{**defaults, **parts})
    nn.init.ones_(model.head.bbox_pred.bias)  # strides; boxes of no size would have no gradient
    return model
