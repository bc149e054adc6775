"""Co-DETR Swin-T, focal loss, 12 epochs of COCO."""

from rankdet.model_zoo.backbones import use_swin

from ..common.imagenet import swin_tiny
from .co_detr_r50 import dataloader, hooks, lr_multiplier, model, optimizer, train

use_swin(model, "tiny")
optimizer.weight_decay = 0.05
train.update(output_dir="output/coco/co_detr_swin_t", **swin_tiny)
