"""PAA R50-FPN, Rank & Sort loss, 12 epochs of COCO."""

from rankdet.model_zoo.recipes import use_dense_ranking

from ..common.losses import rank_sort
from .paa_r50_fpn_1x import dataloader, hooks, lr_multiplier, model, optimizer, train

use_dense_ranking(model, rank_sort)
optimizer.lr = 0.008
train.output_dir = "output/coco/paa_r50_fpn_1x_rs"
