"""Mask R-CNN R50-FPN, softmax cross-entropy with repeat factor sampling, 24 epochs."""

from ..common.lvis_v1_schedule import lr_multiplier_2x as lr_multiplier
from ..common.lvis_v1_schedule import schedule_2x
from .mask_rcnn_r50_fpn_1x import dataloader, hooks, model, optimizer, train

train.update(output_dir="output/lvis_v1/mask_rcnn_r50_fpn_2x", **schedule_2x)
