"""The small Mask R-CNN for 128 px images without its mask head."""

from .mask_rcnn_r18_fpn import model

for name in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
