"""Mask R-CNN with Rank & Sort loss on ten glyphs: a whole run in about a minute."""

from ..common.ranking import rank_sort, use_ranking
from .mask_rcnn_smoke import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, rank_sort)
train.output_dir = "output/glyphs/mask_rcnn_smoke_rs"
