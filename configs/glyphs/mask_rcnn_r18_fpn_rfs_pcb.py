"""Mask R-CNN with repeat factor sampling and PCB from iteration 805 on, on glyphs."""

from ..common.glyphs_schedule import pcb_start_epoch
from ..common.pcb import softmax, use_pcb
from .mask_rcnn_r18_fpn_rfs import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, softmax, pcb_start_epoch)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_rfs_pcb"
