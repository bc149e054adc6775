"""Faster R-CNN with Rank & Sort loss on glyphs."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import rank_sort
from .faster_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, rank_sort)
train.output_dir = "output/glyphs/faster_rcnn_r18_fpn_rs"
