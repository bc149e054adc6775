"""RetinaNet R50-FPN with ATSS's assignment and square anchors, aLRP loss, 100 epochs of COCO."""

from detectron2.config import LazyCall as L

from rankdet.modeling.dense.atss import ATSSAssigner

from ..common.coco_schedule import lr_multiplier_100ep as lr_multiplier
from .retinanet_r50_fpn_100ep_alrp import dataloader, hooks, model, optimizer, train

model.head.num_anchors = 2
model.anchor_generator.aspect_ratios = [1.0]
model.assigner = L(ATSSAssigner)(num_classes="${..num_classes}", num_candidates=9)
train.output_dir = "output/coco/atss_r50_fpn_100ep_alrp"
