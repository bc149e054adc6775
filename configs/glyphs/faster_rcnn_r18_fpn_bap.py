"""Faster R-CNN with Bucketed AP loss on glyphs."""

from ..common.ranking import bucketed_ap, use_ranking
from .faster_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, bucketed_ap)
train.output_dir = "output/glyphs/faster_rcnn_r18_fpn_bap"
