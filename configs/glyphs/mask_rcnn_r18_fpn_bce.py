"""Mask R-CNN with sigmoid binary cross-entropy on glyphs."""

from ..common.losses import sigmoid
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(loss=sigmoid, prior_prob=0.01)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_bce"
