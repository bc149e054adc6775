"""Warm-up over 100 iterations, then a cosine to 1 %, over a short training from scratch.

PCB starts after two thirds of the training, as in the paper (16 of 24 epochs): 4.6 epochs of the
1,400 images in batches of 8, which is iteration 805.
"""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

_MAX_ITER = 1200

schedule = dict(max_iter=_MAX_ITER)
pcb_start_epoch = 4.6
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.01),
    warmup_length=100 / _MAX_ITER,
    warmup_factor=0.001,
)
