"""Mask R-CNN R50-FPN, softmax and PCB without repeat factor sampling, 24 epochs."""

from rankdet.model_zoo.recipes import use_pcb

from .mask_rcnn_r50_fpn_2x_random import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, alpha=0.4)
train.output_dir = "output/lvis_v0_5/mask_rcnn_r50_fpn_2x_random_pcb"
