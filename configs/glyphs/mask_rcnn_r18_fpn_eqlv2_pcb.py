"""Mask R-CNN with EQL v2 and pairwise class balance from iteration 805 on, on glyphs."""

from rankdet.model_zoo.recipes import use_pcb

from ..common.glyphs_schedule import pcb_start_epoch
from .mask_rcnn_r18_fpn_eqlv2 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_pcb(model, alpha=0.2, normalizes_logits=True, start_epoch=pcb_start_epoch)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_eqlv2_pcb"
