"""Faster R-CNN with NDCG loss on glyphs."""

from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import ndcg
from .faster_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

use_ranking(model, ndcg)
train.output_dir = "output/glyphs/faster_rcnn_r18_fpn_ndcg"
