"""Two scales of training images, as transformer detectors have them since DETR.

With probability 1/2 each: the shorter side of 480 to 800; or of 400 to 600, a random part of 384 to
600 pixels a side, and that enlarged to 480 to 800. A part may be without objects.
"""

from detectron2.config import LazyCall as L
from detectron2.data import transforms

_crop = [
    L(transforms.ResizeShortestEdge)(
        short_edge_length=[400, 500, 600], max_size=4200, sample_style="choice"
    ),
    L(transforms.RandomCrop)(crop_type="absolute_range", crop_size=(384, 600)),
]
augmentations = [
    L(transforms.RandomFlip)(horizontal=True),
    L(transforms.RandomApply)(tfm_or_aug=L(transforms.AugmentationList)(augs=_crop), prob=0.5),
    L(transforms.ResizeShortestEdge)(
        short_edge_length=list(range(480, 801, 32)), max_size=1333, sample_style="choice"
    ),
]
