"""A small Deformable DETR for 128 px images that trains from scratch on a CPU in minutes.

The backbone is the small Mask R-CNN's; a level of stride 32 comes on top. 60 queries.
"""

from detectron2.config import LazyCall as L

from rankdet.losses import FocalLoss
from rankdet.modeling.detr import (
    ChannelMapper,
    Decoder,
    DeformableDETR,
    Encoder,
    HungarianMatcher,
    QueryLoss,
    QuerySelection,
    SinePositionEncoding,
)

from .mask_rcnn_r18_fpn import model as mask_rcnn

_CHANNELS = 64
_ATTENTION = dict(num_channels=_CHANNELS, num_heads=4, num_levels=3, num_points=4)
_LAYERS = dict(**_ATTENTION, hidden_channels=256)

_backbone = mask_rcnn.backbone.bottom_up
_backbone.out_features = ["res3", "res4"]

model = L(DeformableDETR)(
    backbone=_backbone,
    neck=L(ChannelMapper)(
        in_features=["res3", "res4"], in_channels=[64, 128], num_channels=_CHANNELS, num_levels=3
    ),
    encoder=L(Encoder)(
        positions=L(SinePositionEncoding)(num_channels=_CHANNELS), num_layers=1, **_LAYERS
    ),
    query_selection=L(QuerySelection)(num_channels=_CHANNELS, num_queries=60, smallest_size=0.1),
    decoder=L(Decoder)(num_logits="${..loss.loss.num_classes}", num_layers=2, **_LAYERS),
    matcher=L(HungarianMatcher)(class_weight=2.0, l1_weight=5.0, giou_weight=2.0),
    selection_loss=L(QueryLoss)(
        loss=L(FocalLoss)(num_classes=1), class_weight=2.0, l1_weight=5.0, giou_weight=2.0
    ),
    loss=L(QueryLoss)(
        loss=L(FocalLoss)(num_classes="${...num_classes}"),
        class_weight=2.0,
        l1_weight=5.0,
        giou_weight=2.0,
    ),
    num_classes=36,
    max_detections_per_image=300,
    pixel_mean=mask_rcnn.pixel_mean,
    pixel_std=mask_rcnn.pixel_std,
)
