"""Co-DETR R50 (Co-Deformable-DETR), focal loss, 12 epochs of COCO."""

from ..common.models.co_detr_r50 import model
from .deformable_detr_r50 import dataloader, hooks, lr_multiplier, optimizer, train

train.output_dir = "output/coco/co_detr_r50"
