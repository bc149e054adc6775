"""VarifocalNet R50-FPN: ATSS's anchors, three convolutions with group norm per branch.

Unlike in mmdetection's VarifocalNet there is no learned scale per level, and anchors lie in the
centers of the cells, not in their corners.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn

from .varifocalnet_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
model.head.update(conv_dims=[256] * 3, first_distance=8.0)
