"""Mask head whose last layer is injected."""

from collections.abc import Callable

from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead
from torch import nn


def conv_predictor(in_channels: int, num_classes: int) -> nn.Conv2d:
    """Detectron2's predictor: a 1 x 1 convolution that starts at N(0, 0.001) and no bias."""
    layer = nn.Conv2d(in_channels, num_classes, kernel_size=1)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


class MaskHead(MaskRCNNConvUpsampleHead):
    """Detectron2's mask head with ``predictor`` as its last layer.

    Args:
        input_shape: shape of the pooled feature.
        num_classes: C; one mask per class.
        conv_dims: channels of the convolutions; the last is the up-sampling one.
        predictor: (in_channels, num_classes) -> 1 x 1 layer, e.g.
            ``NormedConv2d.with_temperature(20)``.
        loss_weight: weight of the mask loss.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        conv_dims: list[int],
        predictor: Callable[[int, int], nn.Module],
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(
            input_shape,
            num_classes=num_classes,
            conv_dims=list(conv_dims),
            loss_weight=loss_weight,
        )
        last: Conv2d = self.predictor
        self.predictor = predictor(last.in_channels, num_classes)
