"""Mask R-CNN R50-FPN with RPN and heads as in mmdetection's releases, and LVIS's test settings."""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from rankdet.modeling.box_head import XavierBoxHead
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.mask_head import MaskHead

from ..losses import softmax
from ..rpn import rpn

model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
model.proposal_generator.update(**rpn)
model.roi_heads.box_head._target_ = XavierBoxHead
model.roi_heads.box_head.pop("conv_dims")
model.roi_heads.mask_head._target_ = MaskHead
model.roi_heads.box_predictor = L(BoxPredictor)(
    input_shape=ShapeSpec(channels=1024),
    box2box_transform=L(Box2BoxTransform)(weights=(10, 10, 5, 5)),
    num_classes="${..num_classes}",
    loss=softmax,
    test_score_thresh=1e-4,
    test_topk_per_image=300,
)
