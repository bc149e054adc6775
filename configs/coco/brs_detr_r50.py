"""Co-DETR R50, Bucketed Rank & Sort loss in all heads, 12 epochs of COCO."""

from rankdet.model_zoo.detr_recipes import use_detr_ranking

from ..common.coco_schedule import ranking_detr_lr_multiplier as lr_multiplier
from ..common.losses import bucketed_rank_sort
from .co_detr_r50 import dataloader, hooks, model, optimizer, train

use_detr_ranking(model, bucketed_rank_sort)
train.output_dir = "output/coco/brs_detr_r50"
