"""Mask R-CNN with softmax cross-entropy and repeat factor sampling on glyphs.

Classes in fewer than 7 % of the 1,400 images are repeated: all but the frequent ones, as on LVIS.
"""

from ..common.data.repeat_factors import sampler
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

dataloader.train.sampler = sampler
dataloader.train.sampler.repeat_factors.repeat_thresh = 0.07
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_rfs"
