"""FCOS R50-FPN, ECM with focal weights, repeat factor sampling, 24 epochs of LVIS v1."""

from ..common.ecm import clipping
from ..common.losses import ecm_surrogate
from ..common.lvis_v1_schedule import ecm_lr_multiplier_2x as lr_multiplier
from .fcos_r50_fpn_2x import dataloader, hooks, model, optimizer, train

model.loss.surrogate = ecm_surrogate
hooks.gradient_clipping = clipping
train.output_dir = "output/lvis_v1/fcos_r50_fpn_2x_ecm"
