"""Draws boxes, masks and labels of objects over an image."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.structures import Instances
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

ByteArray = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels

_FADING = 0.35  # of the image towards white, so that the colors of the objects stand out
_TINT = 0.4  # opacity of a mask
_FONT_SIZE = 12  # points
_LABEL_HEIGHT = 24  # pixels at 100 dots per inch, with the frame
_CHARACTER_WIDTH = 10  # pixels at 100 dots per inch


def draw_objects(
    axes: Axes, pixels: ByteArray, objects: Instances, labels: Sequence[str], colors: Sequence[str]
) -> None:
    """Draw an image and its objects, smaller ones over larger ones.

    Args:
        axes: as large as the image, so that labels have the size that this function expects.
        pixels: ``(height, width, 3)``, RGB.
        objects: ``pred_boxes`` and, where known, ``pred_masks``, on the CPU.
        labels: of each object.
        colors: of each object, names that Matplotlib knows.
    """
    axes.imshow(pixels.astype(np.float32) / 255 * (1 - _FADING) + _FADING)
    axes.autoscale(False)
    order = objects.pred_boxes.area().argsort(descending=True).tolist()
    if objects.has("pred_masks"):
        _draw_masks(axes, objects.pred_masks.numpy()[order], [colors[i] for i in order])
    boxes = objects.pred_boxes.tensor.tolist()
    taken: list[Box] = []
    for index in order:
        left, top, right, bottom = boxes[index]
        size = right - left, bottom - top
        frame = {"facecolor": "none", "edgecolor": colors[index], "linewidth": 2}
        axes.add_patch(Rectangle((left, top), *size, **frame))
    for index in order:
        taken.append(_place(labels[index], boxes[index], axes, taken))
        _write(axes, labels[index], taken[-1], colors[index])
    axes.set_axis_off()


def _draw_masks(axes: Axes, masks: npt.NDArray[np.bool_], colors: list[str]) -> None:
    tint = np.zeros((*masks.shape[1:], 4), dtype=np.float32)
    for mask, color in zip(masks, colors, strict=True):
        tint[mask] = (*to_rgb(color), _TINT)
    axes.imshow(tint)
    for mask, color in zip(masks, colors, strict=True):
        if mask.any() and not mask.all():
            axes.contour(mask, [0.5], colors=[color], linewidths=1)


def _place(label: str, box: Box, axes: Axes, taken: Sequence[Box]) -> Box:
    """The first place around a box that is free and in the image, or else one in the image."""
    width, height = _CHARACTER_WIDTH * len(label) + 6, _LABEL_HEIGHT
    places = list(_places(box, width, height))
    for place in places:
        if _is_inside(place, axes) and not any(_overlap(place, other) for other in taken):
            return place
    left = max(0.0, min(places[0][0], axes.get_xlim()[1] - width))
    top = max(0.0, places[0][1])
    return left, top, left + width, top + height


def _places(box: Box, width: float, height: float) -> Iterator[Box]:
    left, top, right, bottom = box
    for y in (top - height, bottom, top, bottom - height):
        for x in (left, right - width):
            yield x, y, x + width, y + height


def _is_inside(place: Box, axes: Axes) -> bool:
    left, top, right, bottom = place
    return min(left, top) >= 0 and right <= axes.get_xlim()[1] and bottom <= axes.get_ylim()[0]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(axes: Axes, label: str, place: Box, color: str) -> None:
    frame: dict[str, Any] = {"facecolor": "white", "edgecolor": color, "pad": 1.5, "alpha": 0.85}
    axes.text(
        (place[0] + place[2]) / 2,
        (place[1] + place[3]) / 2,
        label,
        fontsize=_FONT_SIZE,
        ha="center",
        va="center",
        bbox=frame,
        in_layout=False,
        parse_math=False,
    )
