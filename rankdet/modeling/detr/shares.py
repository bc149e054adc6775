"""Boxes in shares of an image's own size, the unit of transformer detectors, and in pixels."""

from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import box_convert


def gt_shares(instances: Instances) -> Tensor:
    """Ground-truth boxes of an image.

    Args:
        instances: with ``gt_boxes`` in pixels.

    Returns:
        ``(n, 4)`` center x, center y, width, height in shares of the image's width and height.
    """
    boxes: Tensor = instances.gt_boxes.tensor
    return box_convert(boxes / _sides(boxes, instances.image_size), "xyxy", "cxcywh")


def clipped_pixels(boxes: Tensor, image_size: tuple[int, int]) -> Boxes:
    """Predicted boxes in pixels, cut off at the borders of the image.

    Args:
        boxes: ``(n, 4)`` center x, center y, width, height in shares of the image.
        image_size: height and width in pixels, without padding.

    Returns:
        n boxes.
    """
    corners = box_convert(boxes, "cxcywh", "xyxy").clamp(0, 1)
    return Boxes(corners * _sides(corners, image_size))


def _sides(like: Tensor, image_size: tuple[int, int]) -> Tensor:
    height, width = image_size
    return like.new_tensor([width, height, width, height])
