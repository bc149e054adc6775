"""Boxes in shares of an image's own size, the unit of transformer detectors, and in pixels."""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import box_convert


def gt_shares(gt_instances: Sequence[Instances]) -> Tensor:
    """Ground-truth boxes of all images, image by image.

    Args:
        gt_instances: of each image, with ``gt_boxes`` in pixels; one image at least.

    Returns:
        ``(n, 4)`` center x, center y, width, height in shares of the image's width and height.
    """
    boxes = torch.cat([x.gt_boxes.tensor for x in gt_instances])
    counts = torch.tensor([len(x) for x in gt_instances])
    sides = torch.tensor([_sides(x.image_size) for x in gt_instances], dtype=boxes.dtype)
    sides = sides.repeat_interleave(counts, dim=0).to(boxes.device, non_blocking=True)
    shares: Tensor = box_convert(boxes / sides, "xyxy", "cxcywh")
    return shares


def clipped_pixels(boxes: Tensor, image_size: tuple[int, int]) -> Boxes:
    """Predicted boxes in pixels, cut off at the borders of the image.

    Args:
        boxes: ``(n, 4)`` center x, center y, width, height in shares of the image.
        image_size: height and width in pixels, without padding.

    Returns:
        n boxes.
    """
    corners = box_convert(boxes, "cxcywh", "xyxy").clamp(0, 1)
    return Boxes(corners * corners.new_tensor(_sides(image_size)))


def ious_and_gious(boxes: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Overlaps of boxes in shares, one value for each pair; they are those of pixels.

    Source: Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019. Torchvision's GIoU
    loss adds 1e-7 to areas, which is a tenth of a box of a thousandth of the image's sides.

    Args:
        boxes: ``(..., 4)`` center x, center y, width, height, not negative.
        gt_boxes: the same, of a shape that broadcasts, not empty.

    Returns:
        IoU in [0, 1] and generalized IoU in [-1, 1], of the common shape.
    """
    (low, high), (gt_low, gt_high) = _corners(boxes), _corners(gt_boxes)
    shared = _area((torch.minimum(high, gt_high) - torch.maximum(low, gt_low)).clamp(min=0))
    hull = _area(torch.maximum(high, gt_high) - torch.minimum(low, gt_low))
    union = _area(high - low) + _area(gt_high - gt_low) - shared
    ious = shared / union
    return ious, ious - (hull - union) / hull


def _sides(image_size: tuple[int, int]) -> list[int]:
    height, width = image_size
    return [width, height, width, height]


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    centers, half = boxes[..., :2], boxes[..., 2:] / 2
    return centers - half, centers + half


def _area(sides: Tensor) -> Tensor:
    return sides[..., 0] * sides[..., 1]
