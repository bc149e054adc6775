"""Mask R-CNN R50-FPN, Seesaw loss with repeat factor sampling, 24 epochs."""

from ..common.seesaw import box, mask
from .mask_rcnn_r50_fpn_2x import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(box)
model.roi_heads.mask_head.update(mask)
train.output_dir = "output/lvis_v1/mask_rcnn_r50_fpn_2x_seesaw"
