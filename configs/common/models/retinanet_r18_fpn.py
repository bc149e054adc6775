"""A small RetinaNet for 128 px images that trains from scratch on a CPU in minutes.

Backbone and anchors are the small Mask R-CNN's; the head has two convolutions of 64 channels.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead

from rankdet.modeling.box_losses import SmoothL1BoxLoss
from rankdet.modeling.dense.assignment import IoUAssigner
from rankdet.modeling.dense.detector import OneStageDetector
from rankdet.modeling.matching import BestAnchorMatcher

from ..losses import focal
from .mask_rcnn_r18_fpn import model as mask_rcnn

model = L(OneStageDetector)(
    backbone=mask_rcnn.backbone,
    head=L(RetinaNetHead)(
        input_shape=[ShapeSpec(channels=64)] * 3,
        num_classes="${..num_classes}",
        num_anchors=1,
        conv_dims=[64, 64],
        norm="GN",
    ),
    head_in_features=mask_rcnn.proposal_generator.in_features,
    anchor_generator=mask_rcnn.proposal_generator.anchor_generator,
    box2box_transform=L(Box2BoxTransform)(weights=(1, 1, 1, 1)),
    assigner=L(IoUAssigner)(
        matcher=L(BestAnchorMatcher)(thresholds=[0.4, 0.5], labels=[0, -1, 1], min_iou=0.0),
        num_classes="${..num_classes}",
    ),
    loss=focal,
    box_loss=L(SmoothL1BoxLoss)(beta=0.0),
    num_classes=36,
    test_score_thresh=1e-4,
    test_nms_thresh=0.5,
    max_detections_per_image=300,
    pixel_mean=mask_rcnn.pixel_mean,
    pixel_std=mask_rcnn.pixel_std,
)
