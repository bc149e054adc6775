"""ATSS R50-FPN: one square anchor of 8 strides per location, head with group norm.

Unlike in mmdetection's ATSS there is no learned scale per level, and anchors lie in the centers of
the cells, not in their corners; box weight 2, centerness and group norm are the same.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn

from .atss_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
