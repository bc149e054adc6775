"""Mask R-CNN R50-FPN, softmax cross-entropy with repeat factor sampling, 12 epochs."""

from rankdet.model_zoo.backbones import use_torchvision_resnet

from ..common.data.lvis_v1 import dataloader
from ..common.imagenet import r50
from ..common.lvis_v1_schedule import lr_multiplier_1x as lr_multiplier
from ..common.lvis_v1_schedule import schedule_1x
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

model.roi_heads.num_classes = 1203
use_torchvision_resnet(model)
train.update(output_dir="output/lvis_v1/mask_rcnn_r50_fpn_1x", eval_period=0, **schedule_1x, **r50)
