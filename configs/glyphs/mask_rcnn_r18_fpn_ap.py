"""Mask R-CNN with AP loss on glyphs."""

from ..common.ranking import ap, use_ranking
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, ap)
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_ap"
