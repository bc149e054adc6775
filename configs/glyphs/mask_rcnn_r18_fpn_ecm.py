"""Mask R-CNN with Effective Class-Margin loss on glyphs: the demo.

Scores are not calibrated by the background score, which the ECM release does: so short a training
leaves it too unsure of rare classes (README: results).
"""

from ..common.losses import ecm
from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.update(loss=ecm, prior_prob=0.01)
model.roi_heads.box_predictor.loss.foreground_calibration = False
train.output_dir = "output/glyphs/mask_rcnn_r18_fpn_ecm"
