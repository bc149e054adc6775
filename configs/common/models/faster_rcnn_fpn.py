"""The Mask R-CNN R50-FPN without masks."""

from .mask_rcnn_fpn import model

for name in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
