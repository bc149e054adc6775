"""Mask R-CNN R101-FPN, softmax cross-entropy with repeat factor sampling, 24 epochs."""

from ..common.imagenet import r101
from .mask_rcnn_r50_fpn_2x import dataloader, hooks, lr_multiplier, model, optimizer, train

model.backbone.bottom_up.stages.depth = 101
train.update(**r101)
train.output_dir = "output/lvis_v1/mask_rcnn_r101_fpn_2x"
