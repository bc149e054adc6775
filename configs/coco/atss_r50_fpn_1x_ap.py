"""ATSS R50-FPN, AP loss, 12 epochs of COCO."""

from ..common.losses import ap
from .atss_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

ap.interpolate = True
model.loss = ap
train.output_dir = "output/coco/atss_r50_fpn_1x_ap"
