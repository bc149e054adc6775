"""Deformable DETR with focal loss on glyphs."""

from ..common.models.deformable_detr_r18 import model
from ..common.optim import detr as optimizer
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, train

optimizer.lr = 2e-3
lr_multiplier.warmup_length = 50 / train.max_iter
hooks.gradient_clipping.max_norm = 0.1
train.output_dir = "output/glyphs/deformable_detr_r18"
