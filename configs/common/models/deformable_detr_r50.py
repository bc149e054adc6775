"""Deformable DETR R50 as Co-DETR's release has it: two stages, 300 queries, four levels from 8 on.

Layers of encoder and decoder have 2,048 hidden channels and no dropout; the Deformable DETR paper
has 1,024 and 0.1. The ResNet is torchvision's.
"""

from rankdet.model_zoo.backbones import use_torchvision_resnet

from .deformable_detr_r18 import model

_ATTENTION = dict(num_channels=256, num_heads=8, num_levels=4, num_points=4)

model.neck.update(in_features=["res3", "res4", "res5"], num_channels=256, num_levels=4)
use_torchvision_resnet(model)
model.encoder.positions.num_channels = 256
for _part in (model.encoder, model.decoder):
    _part.update(**_ATTENTION, hidden_channels=2048, num_layers=6)
model.query_selection.update(num_channels=256, num_queries=300, smallest_size=0.05)
model.update(num_classes=80, max_detections_per_image=100)
