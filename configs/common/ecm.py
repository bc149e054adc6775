"""What the ECM release changes in a two-stage detector: loss, cosine layers, clipping.

Use as ``box_predictor.update(**box)``, ``mask_head.update(**mask)``.
"""

from detectron2.config import LazyCall as L

from rankdet.engine.hooks import GradientClippingHook
from rankdet.modeling.mask_head import MaskHead
from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear

from .losses import ecm

box = dict(loss=ecm, classifier=L(NormedLinear.with_temperature)(temperature=20.0))
mask = dict(_target_=MaskHead, predictor=L(NormedConv2d.with_temperature)(temperature=20.0))
clipping = L(GradientClippingHook)(max_norm=5.0)
