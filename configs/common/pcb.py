"""What PCB changes in a two-stage detector: ``use_pcb(model, softmax)``.

The RoI heads predict in three recurrent steps of weights 0.2, 0.2 and 0.6. A loss is a base loss,
which trains alone until PCB starts, with the paper's alpha for it.
"""

from detectron2.config import LazyCall as L

from rankdet.losses.pcb import PCBLoss
from rankdet.losses.soft_targets import (
    SoftTargetEQLv2Loss,
    SoftTargetSeesawLoss,
    SoftTargetSoftmaxLoss,
)
from rankdet.modeling.iterative_head import IterativeROIHeads

_CLASSES = "${model.roi_heads.num_classes}"
_STEP_WEIGHTS = [0.2, 0.2, 0.6]

softmax = L(PCBLoss)(base=L(SoftTargetSoftmaxLoss)(num_classes=_CLASSES), alpha=0.4)
eqlv2 = L(PCBLoss)(base=L(SoftTargetEQLv2Loss)(num_classes=_CLASSES), alpha=0.2)
seesaw = L(PCBLoss)(base=L(SoftTargetSeesawLoss)(num_classes=_CLASSES), alpha=0.05)


def use_pcb(model, loss, start_epoch=16, iterations_per_epoch=None, normalizes_logits=False):
    """Give a Faster or Mask R-CNN, in place, the recurrent heads, and train them with ``loss``.

    The paper starts after 16 of 24 epochs, with the first drop of the learning rate, and normalises
    the logits that the next step reads for EQL v2 only. An epoch is the length of the data set
    unless ``iterations_per_epoch`` is given, as it must be where the schedule counts the repeats of
    repeat factor sampling.
    """
    model.roi_heads.update(
        _target_=IterativeROIHeads,
        num_channels="${.box_head.input_shape.channels}",
        step_weights=_STEP_WEIGHTS,
        normalizes_logits=normalizes_logits,
    )
    model.roi_heads.box_predictor.loss = loss
    model.roi_heads.box_predictor.loss.update(
        num_steps=len(_STEP_WEIGHTS),
        start_epoch=start_epoch,
        iterations_per_epoch=iterations_per_epoch,
    )
