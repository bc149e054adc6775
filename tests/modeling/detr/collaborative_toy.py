"""Small collaborative heads on four maps of strides 8 to 64, and what they are trained on."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from detectron2.structures import Boxes, ImageList, Instances
from support.tiny_detr import WIDTH
from support.tiny_two_stage import NUM_CLASSES, make_predictor

from rankdet.losses import FocalLoss, SigmoidBCELoss
from rankdet.modeling.box_losses import GIoUBoxLoss
from rankdet.modeling.dense.atss import ATSSAssigner
from rankdet.modeling.dense.dense_head import QualityHead, ScaledHead
from rankdet.modeling.dense.detector import OneStageDetector
from rankdet.modeling.dense.quality import Centerness
from rankdet.modeling.detr.collaborative_heads import CollaborativeATSS, CollaborativeRCNN
from rankdet.modeling.rpn import LossRPN
from rankdet.modeling.unsampled_roi_heads import UnsampledROIHeads

STRIDES = [8, 16, 32, 64]
NAMES = ["p3", "p4", "p5", "p6"]
SIZES = [(64, 96), (56, 80)]  # height, width of the images


def anchors(num_sizes=1):
    return DefaultAnchorGenerator(
        sizes=[[2 * stride + 4 * i for i in range(num_sizes)] for stride in STRIDES],
        aspect_ratios=[1.0],
        strides=STRIDES,
        offset=0.5,
    )


def make_one_stage(loss=None, num_anchors=1, **parts):
    loss = loss or FocalLoss(NUM_CLASSES)
    kind = ScaledHead if parts.get("quality", ...) is None else QualityHead
    shapes = [ShapeSpec(channels=WIDTH)] * len(STRIDES)
    options = dict(num_classes=loss.num_logits, num_anchors=num_anchors, conv_dims=[WIDTH])
    defaults = dict(
        backbone=None,
        head=kind(input_shape=shapes, norm="", **options),
        head_in_features=NAMES,
        anchor_generator=anchors(num_anchors),
        box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
        assigner=ATSSAssigner(loss.num_classes),
        loss=loss,
        box_loss=GIoUBoxLoss(),
        quality=Centerness(),
        num_classes=loss.num_classes,
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )
    return OneStageDetector(**{**defaults, **parts})


def make_atss(loss=None, loss_weight=12.0, **parts):
    return CollaborativeATSS(make_one_stage(loss, **parts), loss_weight=loss_weight)


def make_rpn(loss=None, **options):
    defaults = dict(
        in_features=NAMES,
        head=StandardRPNHead(in_channels=WIDTH, num_anchors=1),
        anchor_generator=anchors(),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
        pre_nms_topk=(60, 60),
        post_nms_topk=(30, 20),
        loss=loss or SigmoidBCELoss(1),
    )
    return LossRPN(**{**defaults, **options})


def make_roi_heads(loss=None, **options):
    loss = loss or SigmoidBCELoss(NUM_CLASSES)
    shape = ShapeSpec(channels=WIDTH, height=7, width=7)
    defaults = dict(
        num_classes=loss.num_classes,
        batch_size_per_image=1,
        positive_fraction=0.5,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=NAMES[:3],
        box_pooler=ROIPooler(
            output_size=7,
            scales=[1 / stride for stride in STRIDES[:3]],
            sampling_ratio=0,
            pooler_type="ROIAlignV2",
        ),
        box_head=FastRCNNConvFCHead(shape, conv_dims=[], fc_dims=[16]),
        box_predictor=make_predictor(loss),
    )
    return UnsampledROIHeads(**{**defaults, **options})


def make_rcnn(loss=None, rpn_loss=None, loss_weight=12.0):
    parts = make_rpn(rpn_loss), make_roi_heads(loss)
    return CollaborativeRCNN(*parts, loss_weight=loss_weight)


def make_gt(classes, image):
    """Objects of these classes in an image."""
    generator = torch.Generator().manual_seed(10 + image)
    corners = 30 * torch.rand(len(classes), 2, generator=generator)
    sides = 10 + 14 * torch.rand(len(classes), 2, generator=generator)
    boxes = Boxes(torch.cat([corners, corners + sides], dim=1))
    return Instances(SIZES[image], gt_boxes=boxes, gt_classes=torch.tensor(classes).long())


def make_images():
    return ImageList(torch.zeros(2, 3, *SIZES[0]), SIZES)


def make_maps():
    """Levels of two images, as an encoder gives them."""
    generator = torch.Generator().manual_seed(4)
    shapes = [(-(-SIZES[0][0] // stride), -(-SIZES[0][1] // stride)) for stride in STRIDES]
    maps = [torch.randn(2, WIDTH, *shape, generator=generator) for shape in shapes]
    return [level.requires_grad_() for level in maps]
