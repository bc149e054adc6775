"""ATSS R50-FPN, Bucketed AP loss, 12 epochs of COCO."""

from ..common.losses import bucketed_ap
from .atss_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss = bucketed_ap
train.output_dir = "output/coco/atss_r50_fpn_1x_bap"
