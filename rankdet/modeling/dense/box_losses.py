"""Losses of single boxes; what they are weighted and divided by, the classification loss says."""

from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from torch import Tensor

from rankdet.modeling.targets import box_quality


class BoxLoss(Protocol):
    """A loss of predicted boxes, one value each."""

    def __call__(self, deltas: Tensor, anchors: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Penalise the boxes of foreground anchors.

        Args:
            deltas: ``(F, 4)`` predicted, in the code of the detector's box transform.
            anchors: ``(F, 4)`` pixels.
            gt_boxes: ``(F, 4)`` pixels.

        Returns:
            ``(F,)`` IoUs of the decoded boxes without gradient, and ``(F,)`` losses; float32.
        """
        ...


class GIoUBoxLoss:
    """Generalised IoU loss of the decoded boxes, in [0, 2].

    Args:
        box2box_transform: the detector's.
    """

    def __init__(self, box2box_transform: Box2BoxTransform | Box2BoxTransformLinear) -> None:
        self.box2box_transform = box2box_transform

    def __call__(self, deltas: Tensor, anchors: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`BoxLoss.__call__`."""
        return box_quality(self.box2box_transform.apply_deltas(deltas.float(), anchors), gt_boxes)


class SmoothL1BoxLoss:
    """Smooth L1 loss of the deltas, summed over the four coordinates.

    Args:
        box2box_transform: the detector's.
        beta: transition from L2 to L1, in units of the deltas; 0 is L1.
    """

    def __init__(
        self, box2box_transform: Box2BoxTransform | Box2BoxTransformLinear, beta: float
    ) -> None:
        self.box2box_transform = box2box_transform
        self.beta = beta

    def __call__(self, deltas: Tensor, anchors: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`BoxLoss.__call__`."""
        deltas = deltas.float()
        with torch.no_grad():
            decoded = self.box2box_transform.apply_deltas(deltas, anchors)
            ious, _ = box_quality(decoded, gt_boxes)
            gt_deltas = self.box2box_transform.get_deltas(anchors, gt_boxes)
        losses = F.smooth_l1_loss(deltas, gt_deltas, beta=self.beta, reduction="none")
        return ious, losses.sum(dim=1)
