"""RetinaNet with AP loss on glyphs."""

from ..common.losses import ap
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss = ap
model.box_loss.beta = 1.0
train.output_dir = "output/glyphs/retinanet_r18_fpn_ap"
