"""Cityscapes at 2048 x (800 to 1024), judged by COCO's AP of boxes and masks, as mmdetection does.

Detectron2 reads the annotations with the packages ``cityscapesscripts`` and ``shapely``. COCO's
metrics need no result images on disk, know boxes too, and are those of the papers' tables;
``detectron2.evaluation.CityscapesInstanceEvaluator`` gives the official AP of masks.
"""

from .coco import dataloader

dataloader.train.dataset.names = "cityscapes_fine_instance_seg_train"
dataloader.test.dataset.names = "cityscapes_fine_instance_seg_val"
dataloader.train.mapper.augmentations[0].update(
    short_edge_length=(800, 1024), sample_style="range", max_size=2048
)
dataloader.test.mapper.augmentations[0].update(short_edge_length=1024, max_size=2048)
