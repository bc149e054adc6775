"""RetinaNet R50-FPN, AP loss, 100 epochs of COCO at 512 x 512.

The release interpolates precision; its box loss is the mean over boxes and their 4 coordinates.
"""

from ..common.losses import ap
from ..common.models.retinanet_r50_fpn import model
from .retinanet_r50_fpn_100ep_alrp import dataloader, hooks, lr_multiplier, optimizer, train

ap.update(interpolate=True, box_weight=1 / 4, score_weighted_boxes=False)
model.loss = ap
model.box_loss.beta = 1.0
optimizer.lr = 0.002
train.output_dir = "output/coco/retinanet_r50_fpn_100ep_ap"
