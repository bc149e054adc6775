"""Deformable DETR with Bucketed Rank & Sort loss on glyphs."""

from rankdet.model_zoo.detr_recipes import use_detr_ranking

from ..common.losses import bucketed_rank_sort
from .deformable_detr_r18 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_detr_ranking(model, bucketed_rank_sort)
train.output_dir = "output/glyphs/deformable_detr_r18_brs"
