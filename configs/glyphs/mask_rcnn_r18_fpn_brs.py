"""Mask R-CNN with Bucketed Rank & Sort loss on glyphs."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import bucketed_rank_sort
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, bucketed_rank_sort)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_brs"
