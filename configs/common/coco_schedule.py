"""Step schedules of the ranking-loss papers on the 117,266 annotated images of COCO train2017.

12 epochs of batches of 16 for RS and BRS, 100 epochs of batches of 32 for aLRP; RetinaNet drops the
rate earlier.
"""

from math import ceil

from rankdet.model_zoo.recipes import steps

_ITERATIONS_PER_EPOCH = {batch_size: ceil(117_266 / batch_size) for batch_size in (16, 32)}

schedule_1x = dict(max_iter=12 * _ITERATIONS_PER_EPOCH[16])
schedule_100ep = dict(max_iter=100 * _ITERATIONS_PER_EPOCH[32])
lr_multiplier_1x = steps([8, 11, 12], _ITERATIONS_PER_EPOCH[16], 500)
lr_multiplier_100ep = steps([75, 95, 100], _ITERATIONS_PER_EPOCH[32], 500)
lr_multiplier_dense_100ep = steps([60, 80, 100], _ITERATIONS_PER_EPOCH[32], 500)
