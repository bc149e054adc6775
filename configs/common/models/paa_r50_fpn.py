"""PAA R50-FPN: anchors, head and levels of ATSS, score voting.

Anchors are divided as in the authors' release; detections are as in mmdetection's PAA.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn
from rankdet.modeling.dense.dense_head import QualityHead
from rankdet.modeling.dense.top_block import PlainP6P7

from .paa_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
model.head._target_ = QualityHead
model.backbone.top_block._target_ = PlainP6P7
model.anchor_generator.offset = 0.0
model.padding_divisor = 32
