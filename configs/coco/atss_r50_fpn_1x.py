"""ATSS R50-FPN, focal loss, 12 epochs of COCO."""

from ..common.coco_schedule import lr_multiplier_1x as lr_multiplier
from ..common.coco_schedule import schedule_1x
from ..common.data.coco import dataloader
from ..common.imagenet import r50
from ..common.models.atss_r50_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

dataloader.train.mapper.use_instance_mask = False
optimizer.lr = 0.01
train.update(output_dir="output/coco/atss_r50_fpn_1x", eval_period=0, **schedule_1x, **r50)
