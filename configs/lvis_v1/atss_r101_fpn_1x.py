"""ATSS R101-FPN, focal loss with repeat factor sampling, 12 epochs of LVIS v1."""

from ..common.imagenet import r101
from .atss_r50_fpn_1x import dataloader, hooks, lr_multiplier, model, optimizer, train

model.backbone.bottom_up.stages.depth = 101
train.update(**r101)
train.output_dir = "output/lvis_v1/atss_r101_fpn_1x"
