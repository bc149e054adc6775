"""Mask R-CNN R50-FPN, EQL v2 and PCB without repeat factor sampling, 24 epochs."""

from ..common.pcb import eqlv2, use_pcb
from .mask_rcnn_r50_fpn_2x_eqlv2 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, eqlv2)
train.output_dir = "output/lvis_v0_5/mask_rcnn_r50_fpn_2x_eqlv2_pcb"
