"""Mask R-CNN with Equalization loss v2 on glyphs."""

from ..common.losses import eqlv2
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(loss=eqlv2, prior_prob=0.01)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_eqlv2"
