"""Sine codes of places in a map and of boxes.

Letters: B images, D channels, Q queries.
"""

import math

import torch
from torch import Tensor, nn

_EPS = 1e-6
_OFFSET = -0.5  # The first cell's center is half a cell from the border.


class SinePositionEncoding(nn.Module):
    """Codes of the cells of a map, whose coordinates are shares of the image without padding.

    The first half of the channels codes y, the second x, each as sines and cosines in turn.

    Source: DETR as in Deformable DETR: normalized to 2 pi, cells counted from -0.5.

    Args:
        num_channels: D, a multiple of 4.
        temperature: ratio of the longest wavelength to the shortest.

    Raises:
        ValueError: ``num_channels`` is no multiple of 4.
    """

    def __init__(self, num_channels: int, temperature: float = 10_000.0) -> None:
        super().__init__()
        _check_channels(num_channels, 4)
        self.num_channels = num_channels
        self.temperature = temperature

    def forward(self, is_padding: Tensor) -> Tensor:
        """Code the cells.

        Args:
            is_padding: ``(B, H, W)`` bool.

        Returns:
            ``(B, D, H, W)`` float32.
        """
        is_image = (~is_padding).float()
        coordinates = [is_image.cumsum(dim) for dim in (1, 2)]
        shares = [
            (x + _OFFSET) / (x.narrow(dim, -1, 1) + _EPS)
            for dim, x in enumerate(coordinates, start=1)
        ]
        code = [_sines(x, self.num_channels // 2, self.temperature) for x in shares]
        return torch.cat(code, dim=3).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"num_channels={self.num_channels}, temperature={self.temperature}"


def box_code(boxes: Tensor, num_channels: int) -> Tensor:
    """Code boxes: a quarter of the channels for each number, in their order.

    Args:
        boxes: ``(..., 4)`` center x, center y, width, height in shares of the image.
        num_channels: of the code, a multiple of 8.

    Returns:
        ``(..., num_channels)`` in the dtype of the boxes.

    Raises:
        ValueError: ``num_channels`` is no multiple of 8.
    """
    _check_channels(num_channels, 8)
    return _sines(boxes, num_channels // 4, 10_000.0).flatten(-2)


def _sines(shares: Tensor, num_channels: int, temperature: float) -> Tensor:
    """Sines and cosines in turn, of falling frequencies; ``(...)`` to ``(..., num_channels)``."""
    exponents = torch.arange(num_channels // 2, device=shares.device, dtype=shares.dtype)
    wavelengths = temperature ** (2 * exponents / num_channels)
    angles = (2 * math.pi * shares).unsqueeze(-1) / wavelengths
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def _check_channels(num_channels: int, divisor: int) -> None:
    if num_channels < 1 or num_channels % divisor:
        raise ValueError(f"num_channels is {num_channels}; give a positive multiple of {divisor}.")
