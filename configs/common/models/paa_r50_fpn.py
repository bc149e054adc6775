"""PAA R50-FPN: one square anchor of 8 strides per location, head with group norm, score voting.

What differs from mmdetection's ATSS, see ``atss_r50_fpn``, differs from its PAA, too.
"""

from detectron2 import model_zoo

from rankdet.model_zoo.recipes import use_r50_fpn

from .paa_r18_fpn import model

use_r50_fpn(model, model_zoo.get_config("common/models/fcos.py").model)
