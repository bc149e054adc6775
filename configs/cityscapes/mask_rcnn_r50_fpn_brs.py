"""Mask R-CNN R50-FPN, Bucketed Rank & Sort loss on Cityscapes, from COCO's weights.

They are mmdetection's Mask R-CNN, as released; configs/cityscapes/README.md says how to get them.
Layers of another shape, the last ones of box and mask head, start at random; RPN boxes move in
other units at first. Needs ``pip install cityscapesscripts shapely``.
"""

from ..coco.mask_rcnn_r50_fpn_1x_brs import hooks, model, optimizer, train
from ..common.cityscapes_schedule import lr_multiplier, schedule
from ..common.data.cityscapes import dataloader

model.roi_heads.num_classes = 8
train.update(output_dir="output/cityscapes/mask_rcnn_r50_fpn_brs", **schedule)
train.init_checkpoint = "output/coco/mask_rcnn_r50_fpn_1x/mmdetection.pth"
