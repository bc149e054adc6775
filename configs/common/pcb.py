"""What PCB changes in a two-stage detector: ``use_pcb(model, softmax)``.

The RoI heads predict in three recurrent steps of weights 0.2, 0.2 and 0.6. Each method is a base
loss, which trains alone until PCB starts, with the paper's alpha for it.
"""

from detectron2.config import LazyCall as L

from rankdet.losses.pcb import PCBLoss
from rankdet.losses.soft_targets import (
    SoftTargetEQLv2Loss,
    SoftTargetSeesawLoss,
    SoftTargetSoftmaxLoss,
)
from rankdet.modeling.iterative_head import IterativeROIHeads, PredictionAttention

_CLASSES = "${model.roi_heads.num_classes}"
_STEP_WEIGHTS = [0.2, 0.2, 0.6]


def _method(base, alpha, **options):
    """PCB on a base loss, and the refinement of features between the steps."""
    return dict(
        loss=L(PCBLoss)(base=L(base)(num_classes=_CLASSES), alpha=alpha),
        refinement=L(PredictionAttention.with_options)(**options),
    )


softmax = _method(SoftTargetSoftmaxLoss, alpha=0.4)
eqlv2 = _method(SoftTargetEQLv2Loss, alpha=0.2, normalizes_logits=True)
seesaw = _method(SoftTargetSeesawLoss, alpha=0.05)


def use_pcb(model, method, start_epoch=16, iterations_per_epoch=None):
    """Give a Faster or Mask R-CNN, in place, the recurrent heads, and train them by ``method``.

    The paper starts after 16 of 24 epochs, with the first drop of the learning rate. An epoch is
    the length of the data set unless ``iterations_per_epoch`` is given, as it must be where the
    schedule counts the repeats of repeat factor sampling.
    """
    model.roi_heads.update(
        _target_=IterativeROIHeads,
        pooled_shape="${.box_head.input_shape}",
        step_weights=_STEP_WEIGHTS,
        refinement=method.refinement,
    )
    model.roi_heads.box_predictor.loss = method.loss
    model.roi_heads.box_predictor.loss.update(
        num_steps=len(_STEP_WEIGHTS),
        start_epoch=start_epoch,
        iterations_per_epoch=iterations_per_epoch,
    )
