"""PAA with Effective Class-Margin loss and focal weights on glyphs."""

from ..common.dense_losses import focal_ecm
from .paa_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

focal_ecm.box_weight = model.loss.box_weight
model.loss = focal_ecm
train.output_dir = "output/glyphs/paa_r18_fpn_ecm"
