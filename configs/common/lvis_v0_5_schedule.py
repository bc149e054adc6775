"""The 24 epochs of the PCB paper on LVIS v0.5, at batch 16; see ``lvis_v1_schedule``.

Without repeat factor sampling, ``random_*``, an epoch is taken as the 56,740 images that have
annotations (a number remembered from Detectron2's logs, not counted here). How long one is with it
was not published; it is taken to be longer by as much as that of LVIS v1.
"""

from math import ceil

from rankdet.model_zoo.recipes import steps

_RANDOM_ITERATIONS_PER_EPOCH = ceil(56_740 / 16)
_ITERATIONS_PER_EPOCH = round(_RANDOM_ITERATIONS_PER_EPOCH * 7674 / 6212)

schedule_2x = dict(max_iter=24 * _ITERATIONS_PER_EPOCH)
random_schedule_2x = dict(max_iter=24 * _RANDOM_ITERATIONS_PER_EPOCH)
pcb_epoch = dict(iterations_per_epoch=_ITERATIONS_PER_EPOCH)
lr_multiplier_2x = steps([16, 22, 24], _ITERATIONS_PER_EPOCH, 500)
random_lr_multiplier_2x = steps([16, 22, 24], _RANDOM_ITERATIONS_PER_EPOCH, 500)
