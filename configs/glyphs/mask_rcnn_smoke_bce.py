"""Mask R-CNN with sigmoid binary cross-entropy on ten glyphs: a whole run in about a minute."""

from ..common.losses import sigmoid
from .mask_rcnn_smoke import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(loss=sigmoid, prior_prob=0.01)
train.output_dir = "output/glyphs/mask_rcnn_smoke_bce"
