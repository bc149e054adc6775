"""RetinaNet with focal loss on glyphs."""

from ..common.models.retinanet_r18_fpn import model
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, optimizer, train

dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/glyphs/retinanet_r18_fpn"
