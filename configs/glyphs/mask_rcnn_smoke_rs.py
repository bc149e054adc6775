"""Mask R-CNN with Rank & Sort loss on ten glyphs: a whole run in about a minute."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import rank_sort
from .mask_rcnn_smoke import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, rank_sort)
train.output_dir = "output/glyphs/mask_rcnn_smoke_rs"
