"""RetinaNet with Bucketed Rank & Sort loss on glyphs."""

from ..common.losses import bucketed_rank_sort, giou
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.update(loss=bucketed_rank_sort, box_loss=giou)
train.output_dir = "output/glyphs/retinanet_r18_fpn_brs"
