"""What the Seesaw release changes in a two-stage detector: loss and cosine layers.

Use as ``box_predictor.update(**box)``, ``mask_head.update(**mask)``.
"""

from .cosine import classifier, mask
from .losses import seesaw

box = dict(loss=seesaw, classifier=classifier)
