"""Anchors over the padding of a batch: images of several sizes are padded to the largest one."""

from math import ceil

import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes
from torch import Tensor


def padded_size(image_size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """Round height and width up to a multiple of ``divisor``; pixels."""
    height, width = image_size
    return divisor * ceil(height / divisor), divisor * ceil(width / divisor)


def is_on_image(
    anchors: list[Boxes],
    anchor_generator: DefaultAnchorGenerator,
    image_size: tuple[int, int],
    divisor: int,
) -> Tensor:
    """Tell the anchors of the cells that an image has, alone in its batch, from those of padding.

    Of a level they are the first ceil(side / stride) columns and rows, where the sides are the
    image's, rounded up to a multiple of ``divisor``. Where an anchor ends does not matter.

    Source: ``valid_flags`` of mmdetection's anchor heads, where each image is padded to multiples
    of 32 before the batch is padded to one size.

    Args:
        anchors: those of the batch, by level; A of all levels.
        anchor_generator: has made them.
        image_size: height and width, pixels.
        divisor: pixels.

    Returns:
        ``(A,)`` bool.
    """
    height, width = padded_size(image_size, divisor)
    levels = []
    for level, stride in zip(anchors, anchor_generator.strides, strict=True):
        column, row = (level.get_centers() / stride - anchor_generator.offset).round().unbind(1)
        levels.append((column < ceil(width / stride)) & (row < ceil(height / stride)))
    return torch.cat(levels)


def check_padding_divisor(divisor: int | None) -> None:
    """Raise ValueError unless it is a number of pixels or None."""
    if divisor is not None and divisor < 1:
        raise ValueError(
            f"padding_divisor is {divisor}; give the number of pixels of which images are padded "
            "to a multiple, such as 32, or None to train anchors over padding, too."
        )
