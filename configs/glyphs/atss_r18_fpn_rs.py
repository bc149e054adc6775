"""ATSS with Rank & Sort loss, which needs no centerness, on glyphs."""

from detectron2.modeling.meta_arch.retinanet import RetinaNetHead

from ..common.losses import rank_sort
from .atss_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.head.update(_target_=RetinaNetHead, num_anchors=1)
model.update(loss=rank_sort, quality=None)
train.output_dir = "output/glyphs/atss_r18_fpn_rs"
