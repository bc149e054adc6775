"""VarifocalNet with Effective Class-Margin loss and varifocal weights on glyphs."""

from ..common.losses import ecm_surrogate
from .varifocalnet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss.surrogate = ecm_surrogate
train.output_dir = "output/glyphs/varifocalnet_r18_fpn_ecm"
