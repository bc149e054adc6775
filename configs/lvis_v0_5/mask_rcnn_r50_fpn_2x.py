"""Mask R-CNN R50-FPN, softmax cross-entropy with repeat factor sampling, 24 epochs."""

from ..common.data.lvis_v0_5 import dataloader
from ..common.lvis_v0_5_schedule import lr_multiplier_2x as lr_multiplier
from ..common.lvis_v0_5_schedule import schedule_2x
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

model.roi_heads.num_classes = 1230
model.backbone.bottom_up.freeze_at = 2
train.update(
    output_dir="output/lvis_v0_5/mask_rcnn_r50_fpn_2x",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    eval_period=0,
    **schedule_2x,
)
