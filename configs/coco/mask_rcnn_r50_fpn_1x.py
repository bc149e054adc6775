"""Mask R-CNN R50-FPN, softmax cross-entropy, 12 epochs of COCO, as mmdetection trains it."""

from rankdet.model_zoo.backbones import use_torchvision_resnet

from ..common.coco_schedule import lr_multiplier_1x as lr_multiplier
from ..common.coco_schedule import schedule_1x
from ..common.data.coco import dataloader
from ..common.imagenet import r50
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

use_torchvision_resnet(model)
model.roi_heads.box_predictor.update(test_score_thresh=0.05, test_topk_per_image=100)
train.update(output_dir="output/coco/mask_rcnn_r50_fpn_1x", eval_period=0, **schedule_1x, **r50)
