"""COCO 2017 for transformer detectors: images of two scales, those without objects among them."""

from .coco import dataloader
from .detr_augmentations import augmentations

dataloader.train.dataset.filter_empty = False
dataloader.train.mapper.update(augmentations=augmentations, use_instance_mask=False)
