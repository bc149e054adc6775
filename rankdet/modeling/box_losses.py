"""Per-box losses, injected into heads. Weights and normalization are the classification loss's."""

from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.structures import Boxes
from detectron2.structures.boxes import matched_pairwise_iou
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from rankdet.losses._inputs import check_range

BoxTransform: TypeAlias = Box2BoxTransform | Box2BoxTransformLinear


class BoxLoss(Protocol):
    """A loss of predicted boxes, one value each."""

    def __call__(
        self, deltas: Tensor, anchors: Tensor, gt_boxes: Tensor, box2box_transform: BoxTransform
    ) -> tuple[Tensor, Tensor]:
        """Penalize the boxes of foreground anchors or proposals.

        Args:
            deltas: ``(F, 4)`` predicted, in the code of ``box2box_transform``.
            anchors: ``(F, 4)`` pixels.
            gt_boxes: ``(F, 4)`` pixels.
            box2box_transform: the head's.

        Returns:
            ``(F,)`` IoUs of the decoded boxes without gradient, and ``(F,)`` losses; float32.
        """
        ...


class GIoUBoxLoss:
    """Generalized IoU loss of the decoded boxes, in [0, 2].

    Torchvision's and not fvcore's, which stops at a NaN box with an assertion; here NaN surfaces in
    the loss.

    Args:
        weight: factor of the loss, >= 0; the RoI head of Co-DETR has 10. Self-balanced losses are
            the same with any but 0.

    Raises:
        ValueError: ``weight`` is negative or not finite.
    """

    def __init__(self, weight: float = 1.0) -> None:
        check_range("weight", weight, 0)
        self.weight = weight

    def __call__(
        self, deltas: Tensor, anchors: Tensor, gt_boxes: Tensor, box2box_transform: BoxTransform
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`BoxLoss.__call__`."""
        boxes = box2box_transform.apply_deltas(deltas.float(), anchors)
        losses = generalized_box_iou_loss(boxes, gt_boxes, reduction="none")
        return _ious(boxes, gt_boxes), self.weight * losses


class SmoothL1BoxLoss:
    """Smooth L1 loss of the deltas, summed over the four coordinates.

    Args:
        beta: transition from L2 to L1, in units of the deltas, >= 0; 0 is L1.

    Raises:
        ValueError: ``beta`` is negative.
    """

    def __init__(self, beta: float) -> None:
        if not beta >= 0:
            raise ValueError(f"beta is {beta}; give a width in units of the deltas, >= 0.")
        self.beta = beta

    def __call__(
        self, deltas: Tensor, anchors: Tensor, gt_boxes: Tensor, box2box_transform: BoxTransform
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`BoxLoss.__call__`."""
        deltas = deltas.float()
        with torch.no_grad():
            ious = _ious(box2box_transform.apply_deltas(deltas, anchors), gt_boxes)
            gt_deltas = box2box_transform.get_deltas(anchors, gt_boxes)
        losses = F.smooth_l1_loss(deltas, gt_deltas, beta=self.beta, reduction="none")
        return ious, losses.sum(dim=1)


class L1BoxLoss(SmoothL1BoxLoss):
    """L1 loss of the deltas, summed over the four coordinates: Detectron2's default."""

    def __init__(self) -> None:
        super().__init__(beta=0.0)


def _ious(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    ious: Tensor = matched_pairwise_iou(Boxes(boxes.detach()), Boxes(gt_boxes))
    return ious
