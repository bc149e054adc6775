"""Step schedules of the LVIS papers, in epochs of mmdetection at batch 16.

mmdetection's repeat factor sampling rounds repeats up, so that an epoch of LVIS v1 has 7,674
iterations (log of mmdetection issue 7439), not 100,170 / 16; Detectron2 counts iterations only.
Without it, ``random_*``, an epoch is taken as the 99,388 images that have annotations (a number
remembered from Detectron2's logs, not counted here).
The baselines drop the rate after 16 and 22 of 24 epochs, ECM after 20 and 22; ECM warms up over
10,000 iterations from 1e-4 (its loss starts at about 80), all others over 500 from 1e-3.
Transformer detectors have the 12 epochs and the steps of COCO, see ``coco_schedule``.
"""

from math import ceil

from rankdet.model_zoo.recipes import steps

_ITERATIONS_PER_EPOCH = 7674
_RANDOM_ITERATIONS_PER_EPOCH = ceil(99_388 / 16)

schedule_1x = dict(max_iter=12 * _ITERATIONS_PER_EPOCH)
schedule_2x = dict(max_iter=24 * _ITERATIONS_PER_EPOCH)
random_schedule_2x = dict(max_iter=24 * _RANDOM_ITERATIONS_PER_EPOCH)
pcb_epoch = dict(iterations_per_epoch=_ITERATIONS_PER_EPOCH)
lr_multiplier_1x = steps([8, 11, 12], _ITERATIONS_PER_EPOCH, 500)
lr_multiplier_2x = steps([16, 22, 24], _ITERATIONS_PER_EPOCH, 500)
ecm_lr_multiplier_1x = steps([8, 11, 12], _ITERATIONS_PER_EPOCH, 10_000, 1e-4)
ecm_lr_multiplier_2x = steps([20, 22, 24], _ITERATIONS_PER_EPOCH, 10_000, 1e-4)
random_lr_multiplier_2x = steps([16, 22, 24], _RANDOM_ITERATIONS_PER_EPOCH, 500)
