"""The step schedules of mmdetection's papers, given in epochs."""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler


def steps(epochs, iterations_per_epoch, warmup_iterations, warmup_factor=1e-3):
    """A tenth of the rate after each of ``epochs``, the last of which ends the training."""
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[10.0**-step for step in range(len(epochs))], milestones=epochs
        ),
        warmup_length=warmup_iterations / (epochs[-1] * iterations_per_epoch),
        warmup_factor=warmup_factor,
    )
