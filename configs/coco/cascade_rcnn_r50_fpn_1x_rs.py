"""Cascade R-CNN R50-FPN, Rank & Sort loss in all stages, 12 epochs of COCO.

As released, anchors across the image border are ignored, in the cascade only.
"""

from rankdet.model_zoo.backbones import use_torchvision_resnet
from rankdet.model_zoo.recipes import use_ranking

from ..common.losses import rank_sort
from ..common.models.cascade_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x_rs import dataloader, hooks, lr_multiplier, optimizer, train

use_ranking(model, rank_sort)
use_torchvision_resnet(model)
model.proposal_generator.post_nms_topk = (1000, 1000)
for stage in model.roi_heads.box_predictors:
    stage.update(test_score_thresh=0.4, test_topk_per_image=100)
train.output_dir = "output/coco/cascade_rcnn_r50_fpn_1x_rs"
