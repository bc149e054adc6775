"""Deformable DETR R50 with Co-DETR's settings, focal loss, 12 epochs of COCO."""

from detectron2.config import LazyCall as L

from rankdet.engine.hooks import GradientClippingHook

from ..common.coco_schedule import detr_lr_multiplier as lr_multiplier
from ..common.coco_schedule import detr_schedule
from ..common.data.coco_detr import dataloader
from ..common.imagenet import r50
from ..common.models.deformable_detr_r50 import model
from ..common.optim import detr as optimizer
from ..common.train import hooks, train

optimizer.params.lr_factor_func.factors.backbone = 0.1
hooks.gradient_clipping = L(GradientClippingHook)(max_norm=0.1)
train.update(output_dir="output/coco/deformable_detr_r50", eval_period=0, **detr_schedule, **r50)
