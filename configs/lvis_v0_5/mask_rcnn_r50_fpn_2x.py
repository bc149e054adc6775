"""Mask R-CNN R50-FPN, softmax cross-entropy with repeat factor sampling, 24 epochs."""

from rankdet.model_zoo.backbones import use_torchvision_resnet

from ..common.data.lvis_v0_5 import dataloader
from ..common.imagenet import r50
from ..common.lvis_v0_5_schedule import lr_multiplier_2x as lr_multiplier
from ..common.lvis_v0_5_schedule import schedule_2x
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

model.roi_heads.num_classes = 1230
use_torchvision_resnet(model)
train.output_dir = "output/lvis_v0_5/mask_rcnn_r50_fpn_2x"
train.update(eval_period=0, **schedule_2x, **r50)
