"""Mask R-CNN R50-FPN, Bucketed Rank & Sort loss on Cityscapes, from COCO's weights.

They are those of Detectron2's Mask R-CNN R50-FPN 1x (model zoo, downloaded at the start) without
the layers of another shape, which are the last ones of box and mask head; the RPN's boxes move in
other units at first. train.init_checkpoint=FILE takes others, for instance those of
configs/coco/mask_rcnn_r50_fpn_1x_brs.py. Needs ``pip install cityscapesscripts shapely``.
"""

from detectron2.model_zoo import get_checkpoint_url

from ..coco.mask_rcnn_r50_fpn_1x_brs import hooks, model, optimizer, train
from ..common.cityscapes_schedule import lr_multiplier, schedule
from ..common.data.cityscapes import dataloader

model.roi_heads.num_classes = 8
train.update(output_dir="output/cityscapes/mask_rcnn_r50_fpn_brs", **schedule)
train.init_checkpoint = get_checkpoint_url("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
