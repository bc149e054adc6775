"""Mask R-CNN R50-FPN, Rank & Sort loss, 12 epochs of COCO."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import rank_sort
from .mask_rcnn_r50_fpn_1x import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, rank_sort)
model.roi_heads.box_predictor.test_score_thresh = 0.4
optimizer.lr = 0.012
train.output_dir = "output/coco/mask_rcnn_r50_fpn_1x_rs"
