"""RetinaNet R50-FPN, aLRP loss, 100 epochs of COCO at 512 x 512."""

from ..common.coco_schedule import lr_multiplier_dense_100ep as lr_multiplier
from ..common.coco_schedule import schedule_100ep
from ..common.data.coco_512 import dataloader
from ..common.losses import alrp, giou
from ..common.models.retinanet_r50_fpn import model
from .atss_r50_fpn_1x import hooks, optimizer, train

model.update(loss=alrp, box_loss=giou)
optimizer.lr = 0.008
train.update(output_dir="output/coco/retinanet_r50_fpn_100ep_alrp", **schedule_100ep)
