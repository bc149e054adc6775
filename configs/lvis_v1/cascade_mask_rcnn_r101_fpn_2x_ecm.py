"""Cascade Mask R-CNN R101-FPN, Effective Class-Margin loss, repeat factor sampling, 24 epochs."""

from ..common.ecm import box, clipping, mask
from ..common.lvis_v1_schedule import ecm_lr_multiplier_2x as lr_multiplier
from .cascade_mask_rcnn_r101_fpn_2x import dataloader, hooks, model, optimizer, train

for stage in model.roi_heads.box_predictors:
    stage.update(box)
for stage in model.roi_heads.mask_heads:
    stage.update(mask)
hooks.gradient_clipping = clipping
train.output_dir = "output/lvis_v1/cascade_mask_rcnn_r101_fpn_2x_ecm"
