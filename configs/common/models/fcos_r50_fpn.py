"""FCOS R50-FPN, its second version: center sampling, GIoU, centerness on the branch of the boxes.

Distances are in strides, with a scale per level, as in mmdetection; Detectron2's has no scale. The
head, boxes and assignment of the first version are ``ClassQualityHead`` without ``conv_bias``,
``ExponentialDistances`` and a radius of infinity; it had IoU loss, for which there is no part here.
The ECM paper does not say which of FCOS's forms it trains.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn
from rankdet.modeling.dense.dense_head import QualityHead

from .fcos_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
model.head.update(_target_=QualityHead, conv_bias=True)
model.anchor_generator.sizes = [[stride] for stride in model.anchor_generator.strides]
