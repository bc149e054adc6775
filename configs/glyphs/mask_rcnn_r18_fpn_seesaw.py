"""Mask R-CNN with Seesaw loss and its cosine layers on glyphs."""

from ..common.seesaw import box, mask
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(box)
model.roi_heads.mask_head.update(mask)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_seesaw"
