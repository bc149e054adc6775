"""Mask R-CNN with Seesaw loss and pairwise class balance from iteration 805 on, on glyphs."""

from ..common.glyphs_schedule import pcb_start_epoch
from ..common.pcb import seesaw, use_pcb
from .mask_rcnn_r18_fpn_seesaw import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, seesaw, pcb_start_epoch)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_seesaw_pcb"
