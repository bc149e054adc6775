"""Mask R-CNN with AP loss on glyphs."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import ap
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, ap)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_ap"
