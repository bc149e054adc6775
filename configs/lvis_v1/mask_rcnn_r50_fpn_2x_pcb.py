"""Mask R-CNN R50-FPN, softmax and PCB with repeat factor sampling, 24 epochs."""

from rankdet.model_zoo.recipes import use_pcb

from ..common.lvis_v1_schedule import pcb_epoch
from .mask_rcnn_r50_fpn_2x import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, alpha=0.4, **pcb_epoch)
train.output_dir = "output/lvis_v1/mask_rcnn_r50_fpn_2x_pcb"
