"""VarifocalNet R50-FPN, varifocal loss with repeat factor sampling, 12 epochs of LVIS v1."""

from ..common.lvis_v1_dense import lvis, num_candidates
from ..common.models.varifocalnet_r50_fpn import model
from .fcos_r50_fpn_1x import dataloader, hooks, lr_multiplier, optimizer, train

model.update(**lvis)
model.assigner.num_candidates = num_candidates
train.output_dir = "output/lvis_v1/varifocalnet_r50_fpn_1x"
