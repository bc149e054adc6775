"""Detectron2's Cascade R-CNN R50-FPN without masks."""

from detectron2 import model_zoo

model = model_zoo.get_config("common/models/cascade_rcnn.py").model
for name in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
