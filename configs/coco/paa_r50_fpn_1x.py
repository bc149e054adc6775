"""PAA R50-FPN, focal loss, 12 epochs of COCO."""

from ..common.models.paa_r50_fpn import model
from .atss_r50_fpn_1x import dataloader, hooks, lr_multiplier, optimizer, train

train.output_dir = "output/coco/paa_r50_fpn_1x"
