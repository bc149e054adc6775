"""VarifocalNet with Effective Class-Margin loss and varifocal weights on glyphs."""

from ..common.dense_losses import varifocal_ecm
from .varifocalnet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

varifocal_ecm.box_weight = model.loss.box_weight
model.loss = varifocal_ecm
train.output_dir = "output/glyphs/varifocalnet_r18_fpn_ecm"
