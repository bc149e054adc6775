"""PAA R50-FPN, Bucketed AP loss, 12 epochs of COCO."""

from ..common.losses import bucketed_ap
from .paa_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

bucketed_ap.update(delta=0.5, box_weight=1.0)
model.loss = bucketed_ap
train.output_dir = "output/coco/paa_r50_fpn_1x_bap"
