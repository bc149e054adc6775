"""Mask R-CNN with aLRP loss on glyphs."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import alrp, alrp_rpn
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, alrp, alrp_rpn)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_alrp"
