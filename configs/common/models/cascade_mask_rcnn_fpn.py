"""Detectron2's Cascade Mask R-CNN R50-FPN with rankdet's predictor in each of three stages.

Stage weights 1, 0.5, 0.25 and Smooth L1 with beta 1 as in the ECM release; Detectron2 also scales
the gradient of the pooled features by 1/3.
"""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from rankdet.modeling.box_losses import SmoothL1BoxLoss
from rankdet.modeling.box_predictor import BoxPredictor

from ..losses import softmax

model = model_zoo.get_config("common/models/cascade_rcnn.py").model
model.roi_heads.box_predictors = [
    L(BoxPredictor)(
        input_shape=ShapeSpec(channels=1024),
        box2box_transform=L(Box2BoxTransform)(weights=(w1, w1, w2, w2)),
        num_classes="${...num_classes}",
        loss=softmax,
        cls_agnostic_bbox_reg=True,
        box_loss=L(SmoothL1BoxLoss)(beta=1.0),
        loss_weight=stage_weight,
        test_score_thresh=1e-4,
        test_topk_per_image=300,
    )
    for w1, w2, stage_weight in [(10, 5, 1.0), (20, 10, 0.5), (30, 15, 0.25)]
]
