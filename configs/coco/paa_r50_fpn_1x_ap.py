"""PAA R50-FPN, AP loss, 12 epochs of COCO."""

from ..common.losses import ap
from .paa_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, model, optimizer, train

ap.update(interpolate=True, delta=0.5, box_weight=1.0)
model.loss = ap
train.output_dir = "output/coco/paa_r50_fpn_1x_ap"
