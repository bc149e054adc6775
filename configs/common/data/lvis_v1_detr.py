"""LVIS v1 for transformer detectors: images of two scales, repeat factor sampling."""

from .detr_augmentations import augmentations
from .lvis_v1 import dataloader

dataloader.train.mapper.update(augmentations=augmentations, use_instance_mask=False)
