"""Feature maps of several levels as one sequence of tokens, and what of them is padding.

Letters: B images, D channels, L levels, S tokens of all levels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Memory(NamedTuple):
    """The tokens of all levels, finest level first, row by row.

    Attributes:
        tokens: ``(B, S, D)``.
        is_padding: ``(B, S)`` bool.
        shapes: height and width of each level.
        valid_ratios: ``(B, L, 2)`` share of each level's width and height that is image.
    """

    tokens: Tensor
    is_padding: Tensor
    shapes: list[tuple[int, int]]
    valid_ratios: Tensor

    def levels(self) -> list[Tensor]:
        """Cut the tokens back into L maps ``(B, D, H, W)``."""
        sizes = [height * width for height, width in self.shapes]
        parts = self.tokens.transpose(1, 2).split(sizes, dim=2)
        return [part.unflatten(2, shape) for part, shape in zip(parts, self.shapes, strict=True)]


def as_memory(maps: Sequence[Tensor], masks: Sequence[Tensor]) -> Memory:
    """Join maps to one sequence.

    Args:
        maps: by level ``(B, D, H, W)``.
        masks: by level ``(B, H, W)`` bool, True is padding.

    Returns:
        Their tokens.
    """
    return Memory(
        tokens=torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2),
        is_padding=torch.cat([x.flatten(1) for x in masks], dim=1),
        shapes=[(x.shape[2], x.shape[3]) for x in maps],
        valid_ratios=torch.stack([_valid_ratios(x, _wide(maps[0])) for x in masks], dim=1),
    )


def padding_masks(
    image_sizes: Sequence[tuple[int, int]],
    padded_size: tuple[int, int],
    shapes: Sequence[tuple[int, int]],
    device: torch.device,
) -> list[Tensor]:
    """Say which cells of each level are padding: those whose nearest pixel is.

    Args:
        image_sizes: height and width of each image, without padding.
        padded_size: height and width of the batch.
        shapes: height and width of each level.
        device: of the masks.

    Returns:
        By level ``(B, H, W)`` bool.
    """
    height, width = padded_size
    sizes = torch.tensor(image_sizes, device=device)[:, :, None]
    rows = torch.arange(height, device=device) >= sizes[:, 0]
    columns = torch.arange(width, device=device) >= sizes[:, 1]
    mask = (rows.unsqueeze(2) | columns.unsqueeze(1)).float().unsqueeze(1)
    return [F.interpolate(mask, size=tuple(shape)).squeeze(1).bool() for shape in shapes]


def _valid_ratios(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """``(B, 2)`` of a level, by its first row and column."""
    is_image = (~mask).to(dtype)
    return torch.stack([is_image[:, 0].mean(1), is_image[:, :, 0].mean(1)], dim=1)


def _wide(tokens: Tensor) -> torch.dtype:
    """The dtype of everything about boxes."""
    return torch.float64 if tokens.dtype == torch.float64 else torch.float32
