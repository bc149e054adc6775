"""FCOS R50-FPN, Detectron2's: center sampling, GIoU, centerness on the branch of the boxes.

Unlike the first release it normalizes distances by the stride and has no learned scale per level.
The ECM paper does not say which of FCOS's forms it trains.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn

from .fcos_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
model.anchor_generator.sizes = [[stride] for stride in model.anchor_generator.strides]
