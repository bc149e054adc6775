"""Mask R-CNN R101-FPN, Seesaw loss and PCB with repeat factor sampling, 24 epochs."""

from .mask_rcnn_r50_fpn_2x_seesaw_pcb import (
    dataloader,
    hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.backbone.bottom_up.stages.depth = 101
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-101.pkl"
train.output_dir = "output/lvis_v1/mask_rcnn_r101_fpn_2x_seesaw_pcb"
