"""The cosine layers of the Seesaw and ECM releases, all with temperature 20.

``classifier`` is for a box predictor; use ``mask`` as ``mask_head.update(**mask)``.
"""

from detectron2.config import LazyCall as L

from rankdet.modeling.mask_head import MaskHead
from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear

classifier = L(NormedLinear.with_temperature)(temperature=20.0)
mask = dict(_target_=MaskHead, predictor=L(NormedConv2d.with_temperature)(temperature=20.0))
