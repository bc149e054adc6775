"""Mask R-CNN R50-FPN, softmax cross-entropy with repeat factor sampling, 12 epochs."""

from ..common.data.lvis_v1 import dataloader
from ..common.lvis_v1_schedule import lr_multiplier_1x as lr_multiplier
from ..common.lvis_v1_schedule import schedule_1x
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import SGD as optimizer
from ..common.train import hooks, train

model.roi_heads.num_classes = 1203
model.backbone.bottom_up.freeze_at = 2
train.update(
    output_dir="output/lvis_v1/mask_rcnn_r50_fpn_1x",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    eval_period=0,
    **schedule_1x,
)
