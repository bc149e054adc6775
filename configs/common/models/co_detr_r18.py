"""A small Co-DETR for 128 px images: the small Deformable DETR with small ATSS and Faster R-CNN.

The heads see strides 8, 16, 32 and 64 (RoI heads: the first three) and have one square anchor of 3
strides per cell.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from rankdet.modeling.detr import CoDETR, CollaborativeATSS, CollaborativeHeads, CollaborativeRCNN

from ..losses import giou
from .atss_r18_fpn import model as atss
from .deformable_detr_r18 import model
from .faster_rcnn_r18_fpn import model as faster_rcnn

_CLASSES, _STRIDES = "${....num_classes}", [8, 16, 32, 64]
_LEVELS = [f"p{3 + level}" for level in range(len(_STRIDES))]
_CHANNELS = model.neck.num_channels
_anchors = dict(sizes=[[3 * stride] for stride in _STRIDES], strides=_STRIDES)

atss.update(
    backbone=None,
    head_in_features=_LEVELS,
    num_classes=_CLASSES,
    max_detections_per_image="${....max_detections_per_image}",
)
atss.head.update(input_shape=[ShapeSpec(channels=_CHANNELS)] * len(_STRIDES), conv_dims=[_CHANNELS])
atss.anchor_generator.update(_anchors)

_rpn, _roi_heads = faster_rcnn.proposal_generator, faster_rcnn.roi_heads
_rpn.in_features = _LEVELS
_rpn.anchor_generator.update(_anchors)
_roi_heads.update(num_classes=_CLASSES, box_in_features=_LEVELS[:3])
_roi_heads.box_pooler.scales = [1 / stride for stride in _STRIDES[:3]]
_roi_heads.box_predictor.box_loss = giou
_roi_heads.box_predictor.box_loss.weight = 10.0
_roi_heads.box_predictor.test_topk_per_image = "${.....max_detections_per_image}"

model.update(
    _target_=CoDETR,
    heads=L(CollaborativeHeads)(
        atss=L(CollaborativeATSS)(detector=atss, loss_weight=12.0),
        rcnn=L(CollaborativeRCNN)(proposal_generator=_rpn, roi_heads=_roi_heads, loss_weight=12.0),
    ),
    max_queries=40,
    eval_head=None,
)
