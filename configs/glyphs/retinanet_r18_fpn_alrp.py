"""RetinaNet with aLRP loss on glyphs."""

from ..common.losses import alrp, giou
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.update(loss=alrp, box_loss=giou)
train.output_dir = "output/glyphs/retinanet_r18_fpn_alrp"
