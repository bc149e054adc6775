"""The levels that a feature pyramid adds above the ResNet's."""

from detectron2.modeling.backbone.fpn import LastLevelP6P7
from torch import Tensor


class PlainP6P7(LastLevelP6P7):
    """Detectron2's p6 and p7 without a ReLU between the two convolutions.

    Source: mmdetection's RetinaNet, ATSS and PAA, and the AP, aLRP, RS and BRS releases. Its FCOS
    and VarifocalNet have the ReLU (``relu_before_extra_convs``), like Detectron2's.

    Args:
        in_channels: of the feature that p6 is made of.
        out_channels: of p6 and p7.
        in_feature: name of that feature.
    """

    def __init__(self, in_channels: int, out_channels: int, in_feature: str = "res5") -> None:
        super().__init__(in_channels, out_channels, in_feature)

    def forward(self, c5: Tensor) -> list[Tensor]:
        """Add the levels.

        Args:
            c5: ``(I, in_channels, H, W)``.

        Returns:
            p6 and p7, each ``(I, out_channels, H, W)`` of half the size.
        """
        p6 = self.p6(c5)
        return [p6, self.p7(p6)]
