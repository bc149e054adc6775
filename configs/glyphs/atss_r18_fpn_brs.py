"""ATSS with Bucketed Rank & Sort loss on glyphs."""

from ..common.losses import bucketed_rank_sort
from .atss_r18_fpn_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss = bucketed_rank_sort
train.output_dir = "output/glyphs/atss_r18_fpn_brs"
