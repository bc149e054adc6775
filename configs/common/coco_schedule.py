"""Step schedules of the ranking-loss papers on the 117,266 annotated images of COCO train2017.

12 epochs of batches of 16 for RS and BRS, 100 epochs of batches of 32 for aLRP; RetinaNet drops the
rate earlier. Transformer detectors train on all 118,287 images for 12 epochs of batches of 16,
without a warm-up: Co-DETR has a tenth of the rate in the last, BRS-DETR a fifth in the eleventh and
a fifth of that in the last.
"""

from math import ceil

from rankdet.model_zoo.recipes import plain_steps, steps

_ITERATIONS_PER_EPOCH = {batch_size: ceil(117_266 / batch_size) for batch_size in (16, 32)}

schedule_1x = dict(max_iter=12 * _ITERATIONS_PER_EPOCH[16])
schedule_100ep = dict(max_iter=100 * _ITERATIONS_PER_EPOCH[32])
lr_multiplier_1x = steps([8, 11, 12], _ITERATIONS_PER_EPOCH[16], 500)
lr_multiplier_100ep = steps([75, 95, 100], _ITERATIONS_PER_EPOCH[32], 500)
lr_multiplier_dense_100ep = steps([60, 80, 100], _ITERATIONS_PER_EPOCH[32], 500)

detr_schedule = dict(max_iter=12 * ceil(118_287 / 16))
detr_lr_multiplier = plain_steps([11, 12])
ranking_detr_lr_multiplier = plain_steps([10, 11, 12], divisor=5.0)
