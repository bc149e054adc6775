"""Faster R-CNN R50-FPN, aLRP loss, 100 epochs of COCO at 512 x 512, ground truth no proposal."""

from rankdet.model_zoo.backbones import use_torchvision_resnet
from rankdet.model_zoo.recipes import use_ranking

from ..common.coco_schedule import lr_multiplier_100ep as lr_multiplier
from ..common.coco_schedule import schedule_100ep
from ..common.data.coco_512 import dataloader
from ..common.losses import alrp, alrp_rpn
from ..common.models.faster_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x_rs import hooks, optimizer, train

use_ranking(model, alrp, alrp_rpn)
use_torchvision_resnet(model)
model.roi_heads.proposal_append_gt = False
model.roi_heads.box_predictor.update(test_score_thresh=0.05, test_topk_per_image=100)
train.update(output_dir="output/coco/faster_rcnn_r50_fpn_100ep_alrp", **schedule_100ep)
