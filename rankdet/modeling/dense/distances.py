"""Codes of boxes as distances from a location to the four sides."""

import math

from detectron2.modeling.box_regression import Box2BoxTransformLinear
from torch import Tensor

_MAX_LOG = math.log(1e5)  # Pixels; no image is as large. An untrained head stays finite.


class ExponentialDistances(Box2BoxTransformLinear):
    """Logs of the distances, in pixels, from the center of an anchor to the sides of a box.

    Source: the first version of FCOS, and mmdetection's FCOS without ``norm_on_bbox``. Detectron2's
    ``Box2BoxTransformLinear`` is the second version: distances in strides, at least 0.
    """

    def __init__(self) -> None:
        super().__init__(normalize_by_size=False)

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """Code boxes; NaN or infinite where a center is not inside its box.

        Args:
            src_boxes: ``(F, 4)`` anchors, pixels.
            target_boxes: ``(F, 4)`` pixels.

        Returns:
            ``(F, 4)``.
        """
        distances: Tensor = super().get_deltas(src_boxes, target_boxes)
        return distances.log()

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Decode boxes.

        Args:
            deltas: ``(F, 4)``.
            boxes: ``(F, 4)`` anchors, pixels.

        Returns:
            ``(F, 4)`` pixels.
        """
        decoded: Tensor = super().apply_deltas(deltas.clamp(max=_MAX_LOG).exp(), boxes)
        return decoded
