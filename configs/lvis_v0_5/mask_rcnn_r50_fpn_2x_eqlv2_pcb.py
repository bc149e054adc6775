"""Mask R-CNN R50-FPN, EQL v2 and PCB without repeat factor sampling, 24 epochs."""

from rankdet.model_zoo.recipes import use_pcb

from .mask_rcnn_r50_fpn_2x_eqlv2 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, alpha=0.2, normalizes_logits=True)
train.output_dir = "output/lvis_v0_5/mask_rcnn_r50_fpn_2x_eqlv2_pcb"
