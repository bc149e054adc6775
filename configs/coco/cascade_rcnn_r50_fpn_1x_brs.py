"""Cascade R-CNN R50-FPN, Bucketed Rank & Sort loss in all stages, 12 epochs of COCO."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import bucketed_rank_sort
from .cascade_rcnn_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, bucketed_rank_sort)
train.output_dir = "output/coco/cascade_rcnn_r50_fpn_1x_brs"
