"""Faster R-CNN with aLRP loss on glyphs."""

from ..common.ranking import alrp, use_ranking
from .faster_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, alrp)
train.output_dir = "output/glyphs/faster_rcnn_r18_fpn_alrp"
