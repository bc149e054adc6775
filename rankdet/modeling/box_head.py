"""Box head that starts as in mmdetection."""

from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from torch import nn


class XavierBoxHead(FastRCNNConvFCHead):
    """Detectron2's box head of linear layers, whose weights start as in the releases.

    Source: mmdetection's Shared2FCBBoxHead, in all releases: Xavier's uniform weights. Detectron2's
    start heeds the inputs alone: the first layer (12,544 to 1,024) starts smaller by 1.36.

    Args:
        input_shape: shape of the pooled feature.
        fc_dims: widths of the layers, at least one.
    """

    def __init__(self, input_shape: ShapeSpec, *, fc_dims: list[int]) -> None:
        super().__init__(input_shape, conv_dims=[], fc_dims=list(fc_dims))
        for layer in self.fcs:
            nn.init.xavier_uniform_(layer.weight)
