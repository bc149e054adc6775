"""Mask R-CNN with Effective Class-Margin loss on ten glyphs: a whole run in about a minute."""

from ..common.losses import ecm
from .mask_rcnn_smoke import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(loss=ecm, prior_prob=0.01)
model.roi_heads.box_predictor.loss.foreground_calibration = False
train.output_dir = "output/glyphs/mask_rcnn_smoke_ecm"
