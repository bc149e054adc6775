"""Detectron2's Faster R-CNN R50-FPN with rankdet's predictor and RPN, and LVIS's test settings."""

from .mask_rcnn_fpn import model

for name in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
