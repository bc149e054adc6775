"""Mask R-CNN with repeat factor sampling and PCB from iteration 805 on, on glyphs."""

from rankdet.model_zoo.recipes import use_pcb

from ..common.glyphs_schedule import pcb_start_epoch
from .mask_rcnn_r18_fpn_rfs import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, alpha=0.4, start_epoch=pcb_start_epoch)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_rfs_pcb"
