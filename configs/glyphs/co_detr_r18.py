"""Co-DETR, Deformable DETR with ATSS and Faster R-CNN as collaborative heads, on glyphs."""

from ..common.models.co_detr_r18 import model
from .deformable_detr_r18 import dataloader, hooks, lr_multiplier, optimizer, train

train.output_dir = "output/glyphs/co_detr_r18"
