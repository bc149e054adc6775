"""RetinaNet R50-FPN as in the releases of AP and aLRP loss: three shapes and two sizes of anchors.

As there, p6 is made of the last stage of the ResNet and p7 of p6 without a ReLU, box deltas are in
units of a tenth and a fifth of the anchor, an anchor is in the corner of its cell, NMS is at 0.5
and the score threshold at 0.05.
"""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from rankdet.model_zoo.recipes import use_r50_fpn
from rankdet.modeling.dense.candidates import Locations
from rankdet.modeling.dense.top_block import PlainP6P7

from .retinanet_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/retinanet.py").model)
model.backbone.top_block._target_ = PlainP6P7
model.head.update(norm="", num_anchors=6)
model.anchor_generator.update(
    sizes=[[4 * stride, 4 * 2**0.5 * stride] for stride in model.anchor_generator.strides],
    aspect_ratios=[0.5, 1.0, 2.0],
    offset=0.0,
)
model.box2box_transform.weights = (10, 10, 5, 5)
model.update(candidates=L(Locations)(), padding_divisor=32)
