"""COCO 2017 for aLRP: 512 x 512 with SSD's augmentation in training, 833 x 500 at test.

Made of Detectron2's augmentations, which differ from SSD's: the crop comes before the expansion,
so that it is not one of padding only, and does not ask for an IoU with the objects (Detectron2's
mapper shows augmentations no boxes, so that its ``MinIoURandomCrop`` would do nothing); the
expansion moves the image by at most a quarter of its size, which may cut it where it is expanded
by less than half; padding is black; brightness is a factor; hue stays.
"""

from detectron2.config import LazyCall as L
from detectron2.data import transforms

from .coco import dataloader

dataloader.train.total_batch_size = 32
dataloader.train.mapper.use_instance_mask = False
dataloader.train.mapper.augmentations = [
    L(transforms.RandomApply)(
        tfm_or_aug=L(transforms.RandomBrightness)(intensity_min=0.875, intensity_max=1.125)
    ),
    L(transforms.RandomApply)(
        tfm_or_aug=L(transforms.RandomContrast)(intensity_min=0.5, intensity_max=1.5)
    ),
    L(transforms.RandomApply)(
        tfm_or_aug=L(transforms.RandomSaturation)(intensity_min=0.5, intensity_max=1.5)
    ),
    L(transforms.RandomApply)(
        tfm_or_aug=L(transforms.RandomCrop)(crop_type="relative_range", crop_size=(0.3, 0.3))
    ),
    L(transforms.RandomApply)(
        tfm_or_aug=L(transforms.RandomExtent)(scale_range=(1, 4), shift_range=(0.5, 0.5))
    ),
    L(transforms.Resize)(shape=(512, 512)),
    L(transforms.RandomFlip)(horizontal=True),
]
dataloader.test.mapper.augmentations[0].update(short_edge_length=500, max_size=833)
