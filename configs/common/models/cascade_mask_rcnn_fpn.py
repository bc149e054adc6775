"""Cascade Mask R-CNN R50-FPN as in mmdetection, whose cascade the releases of the losses use.

Stage weights 1, 0.5, 0.25, also of the masks, and LVIS's test settings. Anchors across the image
border are ignored.
"""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from rankdet.modeling.box_head import XavierBoxHead
from rankdet.modeling.box_losses import SmoothL1BoxLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.cascade_heads import CascadeHeads
from rankdet.modeling.mask_head import MaskHead

from ..losses import softmax
from ..rpn import rpn

_STAGES = [(0.1, 0.2, 1.0), (0.05, 0.1, 0.5), (0.033, 0.067, 0.25)]

model = model_zoo.get_config("common/models/cascade_rcnn.py").model
model.proposal_generator.update(
    **rpn,
    box_loss=L(SmoothL1BoxLoss)(beta=1 / 9),
    post_nms_topk=(2000, 1000),
    anchor_boundary_thresh=0,
)
model.roi_heads._target_ = CascadeHeads
model.roi_heads.box_heads = [
    L(XavierBoxHead)(input_shape=ShapeSpec(channels=256, height=7, width=7), fc_dims=[1024, 1024])
    for _ in _STAGES
]
model.roi_heads.box_predictors = [
    L(BoxPredictor)(
        input_shape=ShapeSpec(channels=1024),
        box2box_transform=L(Box2BoxTransform)(weights=(1 / xy, 1 / xy, 1 / wh, 1 / wh)),
        num_classes="${...num_classes}",
        loss=softmax,
        cls_agnostic_bbox_reg=True,
        box_loss=L(SmoothL1BoxLoss)(beta=1.0),
        loss_weight=weight,
        test_score_thresh=1e-4,
        test_topk_per_image=300,
    )
    for xy, wh, weight in _STAGES
]
model.roi_heads.pop("mask_head")
model.roi_heads.mask_heads = [
    L(MaskHead)(
        input_shape=ShapeSpec(channels=256, width=14, height=14),
        num_classes="${...num_classes}",
        conv_dims=[256] * 5,
        loss_weight=weight,
    )
    for *_, weight in _STAGES
]
