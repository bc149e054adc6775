"""Co-DETR Swin-L, Bucketed Rank & Sort loss in all heads, 12 epochs of COCO."""

from rankdet.model_zoo.backbones import use_swin

from ..common.imagenet import swin_large
from .brs_detr_r50 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_swin(model, "large")
optimizer.weight_decay = 0.05
train.update(output_dir="output/coco/brs_detr_swin_l", **swin_large)
