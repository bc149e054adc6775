"""PAA R50-FPN, Bucketed Rank & Sort loss, 12 epochs of COCO."""

from ..common.losses import bucketed_rank_sort
from .paa_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss = bucketed_rank_sort
train.output_dir = "output/coco/paa_r50_fpn_1x_brs"
