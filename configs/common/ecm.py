"""What the ECM release changes in a two-stage detector: loss, cosine layers, clipping.

Use as ``box_predictor.update(**box)``, ``mask_head.update(**mask)``.
"""

from detectron2.config import LazyCall as L

from rankdet.engine.hooks import GradientClippingHook

from .cosine import classifier, mask
from .losses import ecm

box = dict(loss=ecm, classifier=classifier)
clipping = L(GradientClippingHook)(max_norm=5.0)
