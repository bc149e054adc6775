"""PAA with Rank & Sort loss, which needs no predicted IoU, on glyphs."""

from detectron2.modeling.meta_arch.retinanet import RetinaNetHead

from ..common.losses import rank_sort
from .paa_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.head.update(_target_=RetinaNetHead, num_anchors=1)
model.update(loss=rank_sort, quality=None)
train.output_dir = "output/glyphs/paa_r18_fpn_rs"
