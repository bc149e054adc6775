"""PAA R50-FPN, Rank & Sort loss, 12 epochs of COCO."""

from ..common.dense_losses import rank_sort
from ..common.dense_ranking import use_ranking
from .paa_r50_fpn_1x import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, rank_sort)
optimizer.lr = 0.008
train.output_dir = "output/coco/paa_r50_fpn_1x_rs"
