"""Co-DETR R50, focal loss with repeat factor sampling, 12 epochs of LVIS v1.

Ours: COCO's settings, with 300 detections; there are no results of it on LVIS.
"""

from ..coco.co_detr_r50 import hooks, lr_multiplier, model, optimizer, train
from ..common.data.lvis_v1_detr import dataloader
from ..common.lvis_v1_schedule import schedule_1x

model.update(num_classes=1203, max_detections_per_image=300)
train.update(output_dir="output/lvis_v1/co_detr_r50", **schedule_1x)
