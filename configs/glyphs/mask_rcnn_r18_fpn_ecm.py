"""Mask R-CNN with Effective Class-Margin loss on glyphs: the demo."""

from ..common.losses import ecm
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(loss=ecm, prior_prob=0.01)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_ecm"
