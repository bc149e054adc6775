"""Mask R-CNN R50-FPN, EQL v2 without repeat factor sampling, 24 epochs."""

from ..common.losses import eqlv2
from .mask_rcnn_r50_fpn_2x_random import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.loss = eqlv2
train.output_dir = "output/lvis_v1/mask_rcnn_r50_fpn_2x_eqlv2"
