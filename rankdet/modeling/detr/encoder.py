"""The encoder: every token attends to points near itself on all levels.

Letters: B images, D channels, L levels, S tokens of all levels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import MLP

from rankdet.modeling.detr.attention import DeformableAttention
from rankdet.modeling.detr.maps import Memory, as_memory
from rankdet.modeling.detr.positions import SinePositionEncoding


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, each added and then normalized.

    Args:
        num_channels: D.
        num_heads: of attention.
        num_levels: L.
        num_points: per head and level.
        hidden_channels: of the feed-forward network.
        dropout: probability.
    """

    def __init__(
        self,
        *,
        num_channels: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        hidden_channels: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention = DeformableAttention(num_channels, num_heads, num_levels, num_points)
        self.attention_dropout = nn.Dropout(dropout)
        self.attention_norm = nn.LayerNorm(num_channels)
        self.feed_forward = MLP(num_channels, [hidden_channels, num_channels], dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(num_channels)

    def forward(self, memory: Memory, positions: Tensor, references: Tensor) -> Tensor:
        """New tokens ``(B, S, D)``.

        Args:
            memory: the tokens.
            positions: ``(B, S, D)`` added to them for the queries.
            references: ``(B, S, L, 2)`` the token's place on each level.
        """
        tokens = memory.tokens
        attended = self.attention(tokens + positions, references, memory)
        tokens = self.attention_norm(tokens + self.attention_dropout(attended))
        new: Tensor = self.feed_forward_norm(tokens + self.feed_forward(tokens))
        return new


class Encoder(nn.Module):
    """Layers over the tokens of all levels.

    Weights start by Xavier, except those of the attention's offsets and weights; level embeddings
    by a normal distribution.

    Source: Deformable DETR. The number of hidden channels there is 1,024, in Co-DETR 2,048.

    Args:
        positions: codes of the cells of a level.
        num_channels: D.
        num_heads: of attention.
        num_levels: L.
        num_points: per head and level.
        hidden_channels: of the feed-forward networks.
        num_layers: how many.
        dropout: probability.
        checkpoints: forget what is inside the layers in training, and compute it again in the
            backward pass: less memory for more time.
    """

    def __init__(  # noqa: PLR0913  (the sizes of a layer, and their number)
        self,
        *,
        positions: SinePositionEncoding,
        num_channels: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        hidden_channels: int,
        num_layers: int,
        dropout: float = 0.0,
        checkpoints: bool = False,
    ) -> None:
        super().__init__()
        self.positions = positions
        self.checkpoints = checkpoints
        self.level_embedding = nn.Parameter(torch.empty(num_levels, num_channels))
        self.layers = nn.ModuleList(
            EncoderLayer(
                num_channels=num_channels,
                num_heads=num_heads,
                num_levels=num_levels,
                num_points=num_points,
                hidden_channels=hidden_channels,
                dropout=dropout,
            )
            for _ in range(num_layers)
        )
        start_weights(self)
        nn.init.normal_(self.level_embedding)

    def forward(self, maps: Sequence[Tensor], masks: Sequence[Tensor]) -> Memory:
        """Encode the maps.

        Args:
            maps: by level ``(B, D, H, W)``, finest first.
            masks: by level ``(B, H, W)`` bool, True is padding.

        Returns:
            The tokens.

        Raises:
            ValueError: there are not L maps, or a mask is of another size.
        """
        _check_maps(maps, masks, len(self.level_embedding))
        memory = as_memory(maps, masks)
        positions = [
            self.positions(mask).to(memory.tokens.dtype).flatten(2).mT + embedding
            for mask, embedding in zip(masks, self.level_embedding, strict=True)
        ]
        inputs = torch.cat(positions, dim=1), cell_references(memory)
        for layer in self.layers:
            if self.checkpoints and self.training:
                tokens = checkpoint(layer, memory, *inputs, use_reentrant=False)
            else:
                tokens = layer(memory, *inputs)
            memory = memory._replace(tokens=tokens)
        return memory


def cell_references(memory: Memory) -> Tensor:
    """Place of each token on every level.

    Returns:
        ``(B, S, L, 2)`` x and y in shares of the padded maps. They differ a little from level to
        level where the images are padded, as padding is cut off to whole cells.
    """
    return cell_centers(memory)[:, :, None] * memory.valid_ratios[:, None]


def cell_centers(memory: Memory) -> Tensor:
    """Center of each token's cell, ``(B, S, 2)`` x and y in shares of the image's own size."""
    ratios = memory.valid_ratios
    levels = []
    for level, (height, width) in enumerate(memory.shapes):
        y = (torch.arange(height, device=ratios.device, dtype=ratios.dtype) + 0.5) / height
        x = (torch.arange(width, device=ratios.device, dtype=ratios.dtype) + 0.5) / width
        centers = torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)
        levels.append(centers / ratios[:, level, None])
    return torch.cat(levels, dim=1)


def start_weights(transformer: nn.Module) -> None:
    """Start the matrices of an encoder or decoder by Xavier, then those of deformable attention.

    Source: Deformable DETR.
    """
    for parameter in transformer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for module in transformer.modules():
        if isinstance(module, DeformableAttention):
            module.reset_parameters()


def _check_maps(maps: Sequence[Tensor], masks: Sequence[Tensor], num_levels: int) -> None:
    if len(maps) != num_levels:
        raise ValueError(
            f"the encoder is for num_levels={num_levels}, but got {len(maps)} maps; give neck, "
            "encoder and decoder the same num_levels."
        )
    shapes = [tuple(x.shape[-2:]) for x in maps]
    mask_shapes = [tuple(x.shape[-2:]) for x in masks]
    if shapes != mask_shapes:
        raise ValueError(
            f"the masks have the shapes {mask_shapes}, but the maps have {shapes}; give each map "
            "the mask of its own size."
        )
