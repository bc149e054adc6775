"""RetinaNet with Rank & Sort loss on glyphs."""

from ..common.losses import giou, rank_sort
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.update(loss=rank_sort, box_loss=giou)
train.output_dir = "output/glyphs/retinanet_r18_fpn_rs"
