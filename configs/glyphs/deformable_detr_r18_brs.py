"""Deformable DETR with Bucketed Rank & Sort loss on glyphs."""

from rankdet.model_zoo.recipes import use_query_ranking

from ..common.losses import bucketed_rank_sort
from .deformable_detr_r18 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_query_ranking(model, bucketed_rank_sort)
train.output_dir = "output/glyphs/deformable_detr_r18_brs"
