"""Cosine classifiers: linear and convolution layers of normalized input and weight."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_EPSILON = 1e-6  # As released by the Seesaw and ECM authors, added to the norm.


def normalize(x: Tensor, dim: int) -> Tensor:
    """Divide by the L2 norm, in float32 or wider.

    A zero vector has no direction: it stays zero and gets no gradient, where x / (|x| + eps) has
    the slope 1 / eps (1e6; a dead ReLU row is enough).

    Args:
        x: any shape.
        dim: the dimension of the vectors.

    Returns:
        Same shape, norm 1 or 0 along ``dim``.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    norm = torch.linalg.vector_norm(wide, dim=dim, keepdim=True)
    return wide * torch.where(norm > 0, 1 / (norm + _EPSILON), 0.0)


class NormedLinear(nn.Linear):
    """Linear layer on normalized features and weight rows: temperature * cosine + bias.

    Weights start at N(0, 0.01), as released.

    Source: Wang et al., Seesaw Loss, 2021; ECM appendix F uses temperature 20.

    Args:
        in_features: size of the last input dimension.
        out_features: size of the last output dimension.
        temperature: largest absolute logit before the bias.
    """

    def __init__(self, in_features: int, out_features: int, temperature: float = 20.0) -> None:
        super().__init__(in_features, out_features)
        self.temperature = temperature
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)

    @classmethod
    def with_temperature(cls, temperature: float) -> Callable[[int, int], "NormedLinear"]:
        """Give a constructor (in_features, out_features) for a ``classifier`` argument."""
        return lambda in_features, out_features: cls(in_features, out_features, temperature)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_features)`` to ``(N, out_features)``."""
        features = self.temperature * normalize(x, dim=-1)
        return F.linear(features, normalize(self.weight, dim=-1), self.bias)


class NormedConv2d(nn.Conv2d):
    """1 x 1 convolution on features that are normalized over channels at every position.

    Only the direction of a weight row counts, so that the learning rate of its angle is divided by
    the square of its length: rows that start at a fortieth turn 1,700 times as fast.

    Source: Wang et al., Seesaw Loss, 2021, as last layer of the mask head, which starts there as
    the layer before it does (Kaiming He's start by outputs): at rows of length 0.65 for 256
    channels and the 1,203 classes of LVIS v1. Detectron2's predictor starts at a ``std`` of 0.001.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        temperature: largest absolute logit before the bias.
        std: standard deviation of the first weights, > 0. None: sqrt(2 / out_channels), as
            released.

    Raises:
        ValueError: ``std`` is not positive.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        temperature: float = 20.0,
        std: float | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)
        self.temperature = temperature
        nn.init.normal_(self.weight, std=_checked_std(std, out_channels))
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    @classmethod
    def with_temperature(
        cls, temperature: float, std: float | None = None
    ) -> Callable[[int, int], "NormedConv2d"]:
        """Give a constructor (in_channels, out_channels) for a ``predictor`` argument."""
        return lambda in_channels, out_channels: cls(in_channels, out_channels, temperature, std)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        features = self.temperature * normalize(x, dim=1)
        return F.conv2d(features, normalize(self.weight, dim=1), self.bias)


def _checked_std(std: float | None, out_channels: int) -> float:
    """The standard deviation of the first weights."""
    if std is not None and not std > 0:
        raise ValueError(f"std is {std}, so that rows have no direction; give a number > 0.")
    return math.sqrt(2 / out_channels) if std is None else std
