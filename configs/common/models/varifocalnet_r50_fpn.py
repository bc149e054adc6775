"""VarifocalNet R50-FPN: ATSS's anchors, three convolutions with group norm per branch.

Anchors and locations are in the corners of the cells, and convolutions in front of a norm have no
bias, as in mmdetection.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn

from .varifocalnet_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
model.head.update(conv_dims=[256] * 3, first_distance=8.0, conv_bias=False)
model.anchor_generator.offset = 0.0
model.padding_divisor = 32
