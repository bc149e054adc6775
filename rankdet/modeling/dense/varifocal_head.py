"""Head of VarifocalNet: classes and refined boxes are read at nine points of a first box.

Letters: I images, C classes, H x W locations of a level.
"""

import math

import torch
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from rankdet.modeling.dense.dense_head import drop_biases, start_layer
from rankdet.modeling.dense.star_conv import StarConv2d, star_points

_MAX_LOG = math.log(1000 / 16)  # Detectron2's limit of the log size of a box.
_POINT_GRADIENT = 0.1  # As released: how much of its gradient a sampling point passes on.


class VarifocalHead(RetinaNetHead):
    """Detectron2's RetinaNet head, one anchor per location, with star-shaped refinement.

    A first box is predicted as distances from the location to its four sides. Two star
    convolutions (boxes, classes) then read the nine points of this box; from there come the logits
    and four factors that scale the distances.

    Source: Zhang et al., VarifocalNet, CVPR 2021, section 3, and what its release adds: the first
    boxes learn a tenth of what the sampling points tell them and nothing from the refined boxes,
    and on each level two numbers are learned that scale the logs of the distances and of the
    factors. Here these logs stay below 4.1. Weights start as in mmdetection since 2.12: normal with
    deviation 0.01, but ``bbox_conv`` and the star convolutions with Kaiming's, 0.029 for 256
    channels; in the authors' release 0.01, too. Batch norm of ``bbox_conv`` alone would be shared
    between levels, so prefer group norm, as the release does.

    Args:
        input_shape: channels and stride of every level.
        num_classes: C.
        conv_dims: channels of the convolutions of either branch; released: three of 256.
        norm: see Detectron2's ``get_norm``.
        conv_bias: whether convolutions in front of a norm have a bias; released: they have none.
        first_distance: distances of the first boxes at the start, strides; released: 8.

    Raises:
        ValueError: a level has no stride, or ``first_distance`` is not positive.
    """

    def __init__(
        self,
        *,
        input_shape: list[ShapeSpec],
        num_classes: int,
        conv_dims: list[int],
        norm: str = "GN",
        conv_bias: bool = False,
        first_distance: float = 8.0,
    ) -> None:
        _check_settings(input_shape, first_distance)
        super().__init__(
            input_shape=input_shape,
            num_classes=num_classes,
            num_anchors=1,
            conv_dims=conv_dims,
            norm=norm,
        )
        self.strides = [shape.stride for shape in input_shape]
        self.first_distance = first_distance
        channels = conv_dims[-1]
        self.bbox_conv = Conv2d(
            channels, channels, 3, padding=1, norm=get_norm(norm, channels), activation=F.relu
        )
        self.bbox_star = StarConv2d(channels, channels)
        self.cls_star = StarConv2d(channels, channels)
        self.bbox_factor = nn.Conv2d(channels, 4, 3, padding=1)
        if norm and not conv_bias:
            drop_biases(self.cls_subnet, self.bbox_subnet, self.bbox_conv)
        start_layer(self.bbox_factor)
        nn.init.kaiming_normal_(self.bbox_conv.weight, mode="fan_out", nonlinearity="relu")
        if self.bbox_conv.bias is not None:
            nn.init.zeros_(self.bbox_conv.bias)
        self.scales = nn.Parameter(torch.ones(len(input_shape)))
        self.factor_scales = nn.Parameter(torch.ones(len(input_shape)))

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Classify and localize.

        Args:
            features: levels ``(I, channels, H, W)``.

        Returns:
            Levels of logits ``(I, C, H, W)`` and of the refined and the first boxes' distances
            ``(I, 4, H, W)``, pixels: what ``Box2BoxTransformLinear(normalize_by_size=False)``
            takes. Distances are float32 or wider.
        """
        settings = self.strides, self.scales, self.factor_scales
        levels = [self._level(*level) for level in zip(features, *settings, strict=True)]
        logits, refined, first = (list(outputs) for outputs in zip(*levels, strict=True))
        return logits, refined, first

    def _level(
        self, feature: Tensor, stride: int, scale: Tensor, factor_scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        cls_feature, bbox_feature = self.cls_subnet(feature), self.bbox_subnet(feature)
        log_distances = scale * self.bbox_pred(self.bbox_conv(bbox_feature))
        first = self.first_distance * _positive(log_distances)
        fixed = first.detach()
        points = star_points(torch.lerp(fixed, first, _POINT_GRADIENT))
        logits = self.cls_score(F.relu(self.cls_star(cls_feature, points)))
        log_factors = self.bbox_factor(F.relu(self.bbox_star(bbox_feature, points)))
        factors = _positive(factor_scale * log_factors)
        return logits, stride * fixed * factors, stride * first


def _positive(x: Tensor) -> Tensor:
    wide = x if x.dtype == torch.float64 else x.float()
    return wide.clamp(max=_MAX_LOG).exp()


def _check_settings(input_shape: list[ShapeSpec], first_distance: float) -> None:
    if not all(shape.stride for shape in input_shape):
        raise ValueError(
            f"input_shape={input_shape} lacks a stride; give ShapeSpec(channels=..., stride=...) "
            "for every level: distances are predicted in strides."
        )
    if not first_distance > 0:
        raise ValueError(f"first_distance={first_distance} must be a positive number of strides.")
