"""FCOS R101-FPN, ECM with focal weights, repeat factor sampling, 12 epochs of LVIS v1."""

from ..common.imagenet import r101
from .fcos_r50_fpn_1x_ecm import dataloader, hooks, lr_multiplier, model, optimizer, train

model.backbone.bottom_up.stages.depth = 101
train.update(**r101)
train.output_dir = "output/lvis_v1/fcos_r101_fpn_1x_ecm"
