"""Faster R-CNN R50-FPN, Rank & Sort loss, 12 epochs of COCO."""

from rankdet.model_zoo.backbones import use_torchvision_resnet
from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import rank_sort
from ..common.models.faster_rcnn_fpn import model
from .mask_rcnn_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, optimizer, train

dataloader.train.mapper.use_instance_mask = False
use_ranking(model, rank_sort)
use_torchvision_resnet(model)
model.roi_heads.box_predictor.update(test_score_thresh=0.4, test_topk_per_image=100)
train.output_dir = "output/coco/faster_rcnn_r50_fpn_1x_rs"
