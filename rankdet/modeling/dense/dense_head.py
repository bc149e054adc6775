"""Heads of ATSS, PAA and FCOS: a RetinaNet head with a scale per level, and what it adds.

Letters: I images, C classes, H x W locations of a level.
"""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from torch import Tensor, nn


class ScaledHead(RetinaNetHead):
    """Detectron2's RetinaNet head whose boxes each level multiplies by a number that it learns.

    Source: FCOS, ATSS and PAA as released and in mmdetection, and the heads of ATSS and PAA of the
    RS and BRS releases, which have no third output. Convolutions in front of a norm have no bias in
    mmdetection and these two releases; Detectron2's, those of the authors of FCOS, ATSS and PAA,
    and mmdetection's FCOS with center sampling have one.

    Args:
        input_shape: channels of every level.
        num_classes: C.
        num_anchors: per location.
        conv_dims: channels of the convolutions of either branch; released: four of 256.
        norm: see Detectron2's ``get_norm``.
        conv_bias: whether convolutions in front of a norm have a bias.
    """

    def __init__(
        self,
        *,
        input_shape: list[ShapeSpec],
        num_classes: int,
        num_anchors: int = 1,
        conv_dims: list[int],
        norm: str = "GN",
        conv_bias: bool = False,
    ) -> None:
        super().__init__(
            input_shape=input_shape,
            num_classes=num_classes,
            num_anchors=num_anchors,
            conv_dims=conv_dims,
            norm=norm,
        )
        if norm and not conv_bias:
            drop_biases(self.cls_subnet, self.bbox_subnet)
        self.scales = nn.Parameter(torch.ones(len(input_shape)))

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Classify and localize.

        Args:
            features: levels ``(I, channels, H, W)``.

        Returns:
            Levels of logits ``(I, num_anchors * C, H, W)``, of deltas ``(I, num_anchors * 4, H,
            W)`` and, if the head has a third output, of its logits ``(I, num_anchors, H, W)``.
        """
        levels = [self._level(*level) for level in zip(features, self.scales, strict=True)]
        return tuple(list(outputs) for outputs in zip(*levels, strict=True))

    def _level(self, feature: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        cls_feature, bbox_feature = self.cls_subnet(feature), self.bbox_subnet(feature)
        outputs = self.cls_score(cls_feature), scale * self.bbox_pred(bbox_feature)
        return *outputs, *self._others(cls_feature, bbox_feature)

    def _others(self, cls_feature: Tensor, bbox_feature: Tensor) -> tuple[Tensor, ...]:
        return ()


class QualityHead(ScaledHead):
    """A scaled head with a third output on the branch of the boxes: centerness or predicted IoU.

    Source: ATSS, PAA, and FCOS since its second version. The layer has the name that it has in
    Detectron2's FCOSHead.

    Args:
        input_shape: see :class:`ScaledHead`.
        num_classes: see there.
        num_anchors: see there.
        conv_dims: see there.
        norm: see there.
        conv_bias: see there.
    """

    def __init__(
        self,
        *,
        input_shape: list[ShapeSpec],
        num_classes: int,
        num_anchors: int = 1,
        conv_dims: list[int],
        norm: str = "GN",
        conv_bias: bool = False,
    ) -> None:
        super().__init__(
            input_shape=input_shape,
            num_classes=num_classes,
            num_anchors=num_anchors,
            conv_dims=conv_dims,
            norm=norm,
            conv_bias=conv_bias,
        )
        self.ctrness = nn.Conv2d(conv_dims[-1], num_anchors, 3, padding=1)
        start_layer(self.ctrness)

    def _others(self, cls_feature: Tensor, bbox_feature: Tensor) -> tuple[Tensor, ...]:
        return (self.ctrness(bbox_feature),)


class ClassQualityHead(QualityHead):
    """A scaled head with its third output on the branch of the classes.

    Source: the first version of FCOS, with ``ExponentialDistances``; see :class:`QualityHead`.
    """

    def _others(self, cls_feature: Tensor, bbox_feature: Tensor) -> tuple[Tensor, ...]:
        return (self.ctrness(cls_feature),)


def start_layer(layer: nn.Conv2d) -> None:
    """Start as all layers of these heads: normal with deviation 0.01, bias 0."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def drop_biases(*branches: nn.Module) -> None:
    """Take the bias from all convolutions of a head's branches, in place."""
    for branch in branches:
        for layer in branch.modules():
            if isinstance(layer, nn.Conv2d):
                layer.bias = None
