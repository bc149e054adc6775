"""Cascade Mask R-CNN R101-FPN, softmax cross-entropy with repeat factor sampling, 24 epochs."""

from rankdet.model_zoo.backbones import use_torchvision_resnet

from ..common.models.cascade_mask_rcnn_fpn import model
from .mask_rcnn_r101_fpn_2x import dataloader, hooks, lr_multiplier, optimizer, train

model.roi_heads.num_classes = 1203
use_torchvision_resnet(model, depth=101)
train.output_dir = "output/lvis_v1/cascade_mask_rcnn_r101_fpn_2x"
