"""PAA with focal loss on glyphs."""

from ..common.models.paa_r18_fpn import model
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, optimizer, train

train.output_dir = "output/glyphs/paa_r18_fpn"
