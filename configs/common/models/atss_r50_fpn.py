"""ATSS R50-FPN: one square anchor of 8 strides in the corner of each cell, head with group norm.

As in mmdetection: a scale per level, no bias in front of a norm, p7 without ReLU, padding ignored.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn
from rankdet.modeling.dense.dense_head import QualityHead
from rankdet.modeling.dense.top_block import PlainP6P7

from .atss_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
model.head._target_ = QualityHead
model.backbone.top_block._target_ = PlainP6P7
model.anchor_generator.offset = 0.0
model.quality.smallest_sum = 1.0
model.padding_divisor = 32
