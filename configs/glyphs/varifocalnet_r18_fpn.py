"""VarifocalNet with varifocal loss on glyphs."""

from ..common.models.varifocalnet_r18_fpn import model
from .retinanet_r18_fpn import dataloader, hooks, lr_multiplier, optimizer, train

train.output_dir = "output/glyphs/varifocalnet_r18_fpn"
