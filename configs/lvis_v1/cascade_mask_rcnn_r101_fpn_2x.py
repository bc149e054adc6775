"""Cascade Mask R-CNN R101-FPN, softmax cross-entropy with repeat factor sampling, 24 epochs."""

from ..common.models.cascade_mask_rcnn_fpn import model
from .mask_rcnn_r101_fpn_2x import dataloader, hooks, lr_multiplier, optimizer, train

model.roi_heads.num_classes = 1203
model.backbone.bottom_up.freeze_at = 2
model.backbone.bottom_up.stages.depth = 101
train.output_dir = "output/lvis_v1/cascade_mask_rcnn_r101_fpn_2x"
