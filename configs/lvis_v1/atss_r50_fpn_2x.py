"""ATSS R50-FPN, focal loss with repeat factor sampling, 24 epochs of LVIS v1."""

from ..common.lvis_v1_schedule import lr_multiplier_2x as lr_multiplier
from ..common.lvis_v1_schedule import schedule_2x
from .atss_r50_fpn_1x import dataloader, hooks, model, optimizer, train

train.update(output_dir="output/lvis_v1/atss_r50_fpn_2x", **schedule_2x)
