"""Detectron2's structures turned into the plain tensors that losses take."""

from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from detectron2.structures.boxes import matched_pairwise_iou
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss


class RoITargets(NamedTuple):
    """What the N proposals of all images are trained to be.

    Attributes:
        labels: ``(N,)`` int64 in [0, C]; C is background, -1 ignored.
        boxes: ``(N, 4)`` proposal boxes, pixels.
        gt_boxes: ``(N, 4)`` their ground truth; that of background means nothing.
    """

    labels: Tensor
    boxes: Tensor
    gt_boxes: Tensor


def roi_targets(proposals: list[Instances], device: torch.device) -> RoITargets:
    """Join the labelled proposals of all images.

    Args:
        proposals: of each image; none, as Detectron2's heads take, too, are N = 0.
        device: where the targets of no images are.

    Returns:
        The targets of all N proposals.
    """
    boxes = roi_boxes(proposals, device)
    if not proposals:
        return RoITargets(torch.zeros(0, dtype=torch.int64, device=device), boxes, boxes)
    return RoITargets(
        labels=torch.cat([p.gt_classes for p in proposals]),
        boxes=boxes,
        gt_boxes=torch.cat([p.get(_gt_field(p)).tensor for p in proposals]),
    )


def roi_boxes(proposals: list[Instances], device: torch.device) -> Tensor:
    """Boxes ``(N, 4)`` of the proposals of all images, of which there may be none."""
    return torch.cat(
        [torch.zeros(0, 4, device=device), *(image.proposal_boxes.tensor for image in proposals)]
    )


def num_proposals(proposals: list[Instances]) -> list[int]:
    """Number of proposals of each image, which a trace follows; ``len`` would be a constant."""
    return [image.proposal_boxes.tensor.shape[0] for image in proposals]


def _gt_field(proposals: Instances) -> str:
    # An image without ground truth has no gt_boxes; its proposals are background.
    return "gt_boxes" if proposals.has("gt_boxes") else "proposal_boxes"


def box_quality(boxes: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    """How well decoded boxes fit their ground truth.

    Torchvision's GIoU loss and not fvcore's, which stops at a NaN box with an assertion; here NaN
    surfaces in the loss.

    Args:
        boxes: ``(F, 4)`` x1, y1, x2, y2.
        gt_boxes: ``(F, 4)``.

    Returns:
        ``(F,)`` IoUs without gradient, and ``(F,)`` GIoU losses in [0, 2].
    """
    ious = matched_pairwise_iou(Boxes(boxes.detach()), Boxes(gt_boxes))
    return ious, generalized_box_iou_loss(boxes, gt_boxes, reduction="none")
