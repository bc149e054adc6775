"""RetinaNet with Effective Class-Margin loss and focal weights on glyphs."""

from ..common.losses import ecm_surrogate
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss.surrogate = ecm_surrogate
train.output_dir = "output/glyphs/retinanet_r18_fpn_ecm"
