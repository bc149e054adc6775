"""ATSS with Effective Class-Margin loss and focal weights on glyphs."""

from ..common.dense_losses import ecm
from .atss_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss.surrogate = ecm
train.output_dir = "output/glyphs/atss_r18_fpn_ecm"
