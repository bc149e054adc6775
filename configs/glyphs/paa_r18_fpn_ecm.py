"""PAA with Effective Class-Margin loss and focal weights on glyphs."""

from ..common.losses import ecm_surrogate
from .paa_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss.surrogate = ecm_surrogate
train.output_dir = "output/glyphs/paa_r18_fpn_ecm"
