"""Faster R-CNN with softmax cross-entropy on glyphs: the baseline of the ranking losses."""

from ..common.models.faster_rcnn_r18_fpn import model
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, optimizer, train

dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/glyphs/faster_rcnn_r18_fpn"
