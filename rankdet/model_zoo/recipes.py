"""What the methods change in a model: one line each in a config.

A recipe changes a lazy config in place. The losses by name are in ``common/losses.py``::

    from rankdet import model_zoo
    from rankdet.model_zoo.recipes import use_ranking

    model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
    use_ranking(model, model_zoo.get_config("common/losses.py").rank_sort)
"""

from collections.abc import Sequence
from copy import deepcopy

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler
from omegaconf import DictConfig

from rankdet.losses import PCBLoss
from rankdet.model_zoo.backbones import use_torchvision_resnet
from rankdet.modeling.box_losses import GIoUBoxLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.cascade_heads import CascadeHeads
from rankdet.modeling.dense.candidates import Locations
from rankdet.modeling.dense.dense_head import ScaledHead
from rankdet.modeling.dense.paa_division import LowUpToLikeliest
from rankdet.modeling.iterative_head import IterativeROIHeads, PredictionAttention
from rankdet.modeling.mask_head import DiceMaskHead
from rankdet.modeling.matching import BestAnchorMatcher
from rankdet.modeling.rpn import LossRPN
from rankdet.modeling.unsampled_roi_heads import UnsampledCascadeROIHeads, UnsampledROIHeads

_STEP_WEIGHTS = [0.2, 0.2, 0.6]


def use_ranking(model: DictConfig, loss: DictConfig, rpn_loss: DictConfig | None = None) -> None:
    """Train a Faster, Mask or Cascade R-CNN by a ranking loss: RPN and boxes.

    RPN and RoI heads each have a ranking of their own, over all anchors and all proposals: none are
    sampled. A ranking spans the images of one process; in the RS and BRS releases these are the
    four of one of four GPUs, in aLRP's eight. An anchor of the RPN is positive from an IoU of 0.7
    on, the best one of an object from 0.3 on; anchors over the padding of the batch are ignored.

    Boxes are trained by GIoU. Box deltas are in units of a tenth and a fifth of the anchor or
    proposal everywhere, in the RPN and in all stages of a cascade, whose weights are 1. Biases
    start at 0, as in the RS release; the prior of 0.01 that aLRP gives the RPN would change
    nothing, as neither its loss nor the choice of proposals heeds a constant that is added to all
    logits. Masks have Dice loss.

    Args:
        model: lazy config of the model.
        loss: lazy config of the loss of boxes; its ``num_classes`` is the number of classes.
        rpn_loss: that of the RPN, which gets one class. None: the same loss.

    Raises:
        ValueError: the model is a one-stage detector.
    """
    _check_two_stages(model, "use_ranking")
    box_transform = L(Box2BoxTransform)(weights=(10, 10, 5, 5))
    rpn, roi_heads = model.proposal_generator, model.roi_heads
    for sampling in ("batch_size_per_image", "positive_fraction"):
        rpn.pop(sampling, None)
    rpn.update(
        _target_=LossRPN,
        anchor_matcher=L(BestAnchorMatcher)(thresholds=[0.3, 0.7], labels=[0, -1, 1], min_iou=0.3),
        padding_divisor=32,
        box2box_transform=box_transform,
        loss=for_classes(rpn_loss or loss, 1),
        box_loss=L(GIoUBoxLoss)(),
        loss_weight=0.2,
    )
    _rank_proposals(roi_heads, loss, box_transform)


def use_dense_ranking(model: DictConfig, loss: DictConfig) -> None:
    """Train ATSS or PAA by a ranking loss, with anchors and head as in the RS and BRS releases.

    Three sizes of square anchors per location take the place of one of 8 strides, and there is no
    centerness or predicted IoU; the learning rate is 0.008. RS and BRS balance the box loss by
    themselves. AP and BAP have weights, on ATSS delta 1 and box weight 2, on PAA 0.5 and 1, as
    released; there, as here, AP interpolates precision and BAP does not. ATSS's candidates are
    still 9 per level for any number of anchors per location. PAA's are divided as in the releases,
    and both keep the best locations of a level for non-maximum suppression.

    Args:
        model: lazy config of the model.
        loss: lazy config of the loss.

    Raises:
        ValueError: assigner or head is another than theirs.
    """
    _check_part(model, "assigner", ("ATSSAssigner", "PAAAssigner"))
    _check_part(model, "head", ("FCOSHead", "RetinaNetHead", "QualityHead", "ScaledHead"))
    sizes = [
        [4 * stride * 2 ** (octave / 3) for octave in range(3)]
        for stride in model.anchor_generator.strides
    ]
    model.anchor_generator.sizes = sizes
    model.head.update(_target_=ScaledHead, num_anchors=3)
    if "division" in model.assigner:
        model.assigner.division = L(LowUpToLikeliest)(regularization=1e-5)
    model.update(loss=loss, quality=None, candidates=L(Locations)())


def use_pcb(
    model: DictConfig,
    *,
    alpha: float,
    normalizes_logits: bool = False,
    start_epoch: float = 16,
    iterations_per_epoch: int | None = None,
) -> None:
    """Put PCB around the loss of a Faster or Mask R-CNN, with recurrent RoI heads of three steps.

    The model's own loss trains alone until PCB starts; it must take soft targets. The paper starts
    after 16 of 24 epochs, with the first drop of the learning rate.

    Args:
        model: lazy config of the model.
        alpha: share of PCB; paper: 0.4 for softmax, 0.2 for EQL v2, 0.05 for Seesaw.
        normalizes_logits: LayerNorm in front of the logits that are fed back, for EQL v2.
        start_epoch: epochs without PCB.
        iterations_per_epoch: None: the length of the data set. Give it where the schedule counts
            the repeats of repeat factor sampling.

    Raises:
        ValueError: the model is a cascade or a one-stage detector, or has recurrent heads already.
    """
    _check_two_stages(model, "use_pcb")
    roi_heads = model.roi_heads
    if "box_predictor" not in roi_heads or "step_weights" in roi_heads:
        raise ValueError(
            "use_pcb takes a Faster or Mask R-CNN with one box_predictor and without recurrent "
            "heads; this model is a cascade, or use_pcb has changed it already."
        )
    roi_heads.update(
        _target_=IterativeROIHeads,
        pooled_shape="${.box_head.input_shape}",
        step_weights=_STEP_WEIGHTS,
        refinement=L(PredictionAttention.with_options)(normalizes_logits=normalizes_logits),
    )
    roi_heads.box_predictor.loss = L(PCBLoss)(
        base=for_classes(roi_heads.box_predictor.loss, "${...num_classes}"),
        alpha=alpha,
        start_epoch=start_epoch,
        iterations_per_epoch=iterations_per_epoch,
    )


def use_r50_fpn(model: DictConfig, published: DictConfig) -> None:
    """Give a one-stage detector for small images the backbone, levels and widths of another.

    This is the size of Detectron2's RetinaNet and FCOS: ResNet-50 and the FPN levels p3 to p7.
    Settings are COCO's: 80 classes, 100 detections. The ResNet is torchvision's, see
    :func:`rankdet.model_zoo.backbones.use_torchvision_resnet`.

    Args:
        model: lazy config of the model.
        published: lazy config of Detectron2's model.
    """
    strides = [8, 16, 32, 64, 128]
    model.backbone = published.backbone
    use_torchvision_resnet(model)
    model.head_in_features = published.head_in_features
    model.anchor_generator.update(sizes=[[8 * stride] for stride in strides], strides=strides)
    model.head.update(
        input_shape=[ShapeSpec(channels=256, stride=stride) for stride in strides],
        conv_dims=[256] * 4,
    )
    model.update(
        num_classes=80,
        test_score_thresh=0.05,
        max_detections_per_image=100,
    )


def steps(
    epochs: Sequence[int],
    iterations_per_epoch: int,
    warmup_iterations: int,
    warmup_factor: float = 1e-3,
) -> DictConfig:
    """A step schedule as mmdetection's papers have it, given in epochs.

    Args:
        epochs: a tenth of the rate after each of them; the last ends the training.
        iterations_per_epoch: length of an epoch.
        warmup_iterations: length of the warm-up.
        warmup_factor: share of the rate to start from.

    Returns:
        Lazy config of the multiplier of the learning rate.
    """
    multiplier: DictConfig = L(WarmupParamScheduler)(
        scheduler=plain_steps(epochs),
        warmup_length=warmup_iterations / (epochs[-1] * iterations_per_epoch),
        warmup_factor=warmup_factor,
    )
    return multiplier


def plain_steps(epochs: Sequence[int], divisor: float = 10.0) -> DictConfig:
    """A step schedule without warm-up, as transformer detectors have it, given in epochs.

    Args:
        epochs: the rate is divided after each of them; the last ends the training.
        divisor: of the rate.

    Returns:
        Lazy config of the multiplier of the learning rate.
    """
    multiplier: DictConfig = L(MultiStepParamScheduler)(
        values=[divisor**-step for step in range(len(epochs))], milestones=epochs
    )
    return multiplier


def for_classes(loss: DictConfig, num_classes: int | str) -> DictConfig:
    """The lazy config of the same loss, for another number of classes if it is told one."""
    copied = deepcopy(loss)
    if "num_classes" in copied:  # Other losses, such as ECM, count the data set's classes.
        copied.num_classes = num_classes
    return copied


def _rank_proposals(roi_heads: DictConfig, loss: DictConfig, box_transform: DictConfig) -> None:
    stages, mask_heads = roi_heads.get("box_predictors", []), roi_heads.get("mask_heads", [])
    if target_name(roi_heads) == CascadeHeads.__name__:
        roi_heads.batch_size_per_image = None
        for part in [*stages, *mask_heads]:
            part.pop("loss_weight", None)  # All stages weigh the same, as released.
    else:
        roi_heads._target_ = UnsampledCascadeROIHeads if stages else UnsampledROIHeads
    for predictor in stages or [roi_heads.box_predictor]:
        predictor.update(
            _target_=BoxPredictor,
            box2box_transform=box_transform,
            loss=loss,
            box_loss=L(GIoUBoxLoss)(),
        )
    if "mask_head" in roi_heads:
        mask_heads = [roi_heads.mask_head]
    for mask_head in mask_heads:
        mask_head.update(_target_=DiceMaskHead, max_positives=200)


def _check_two_stages(model: DictConfig, recipe: str) -> None:
    if "roi_heads" not in model:
        name = target_name(model)
        raise ValueError(f"{recipe} takes a two-stage detector with roi_heads, not {name}.")


def _check_part(model: DictConfig, part: str, names: tuple[str, ...]) -> None:
    """Raise ValueError unless a part of a one-stage detector is of one of these classes."""
    name = target_name(model[part] if part in model else model)
    if name not in names:
        raise ValueError(
            f"use_dense_ranking takes a model whose {part} is {' or '.join(names)}, not {name}."
        )


def target_name(part: DictConfig) -> str:
    """Name of the class that a lazy config makes."""
    target = part["_target_"]
    return target.rpartition(".")[2] if isinstance(target, str) else str(target.__name__)
