"""Mask R-CNN R50-FPN, softmax cross-entropy without repeat factor sampling, 24 epochs."""

from ..common.lvis_v0_5_schedule import random_lr_multiplier_2x as lr_multiplier
from ..common.lvis_v0_5_schedule import random_schedule_2x
from .mask_rcnn_r50_fpn_2x import dataloader, hooks, model, optimizer, train

dataloader.train.pop("sampler")
train.update(output_dir="output/lvis_v0_5/mask_rcnn_r50_fpn_2x_random", **random_schedule_2x)
