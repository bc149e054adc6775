"""FCOS R50-FPN, focal loss with repeat factor sampling, 12 epochs of LVIS v1."""

from ..common.data.lvis_v1 import dataloader
from ..common.imagenet import r50
from ..common.lvis_v1_dense import lr, lvis
from ..common.lvis_v1_schedule import lr_multiplier_1x as lr_multiplier
from ..common.lvis_v1_schedule import schedule_1x
from ..common.models.fcos_r50_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

dataloader.train.mapper.use_instance_mask = False
model.update(**lvis)
optimizer.lr = lr
train.update(output_dir="output/lvis_v1/fcos_r50_fpn_1x", eval_period=0, **schedule_1x, **r50)
