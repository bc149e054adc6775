"""Multi-scale deformable attention in plain torch.

Letters: B images, Q queries, S tokens, D channels, L levels, h heads, P points.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from rankdet.modeling.detr.maps import Memory


class DeformableAttention(nn.Module):
    """Attention of a query to P points of each level, which it chooses itself.

    A head samples the values of every level at its points bilinearly, outside of a map they are 0,
    and adds them up by weights whose sum over all L P points is 1. Levels are added one by one:
    without gradients the samples of one level are in memory at a time, with gradients those of all
    levels are kept, B D Q L P numbers, but not their products with the weights.

    Source: Zhu et al., "Deformable DETR", ICLR 2021, eq. 3, and its release, whose operator is
    compiled; this is ``grid_sample``. The residual connection is the layer's, not here.

    Args:
        num_channels: D, a multiple of ``num_heads``.
        num_heads: h.
        num_levels: L.
        num_points: P.

    Raises:
        ValueError: a number is not positive, or ``num_heads`` does not divide ``num_channels``.
    """

    def __init__(self, num_channels: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        if min(num_heads, num_levels, num_points) < 1:
            raise ValueError(
                f"num_heads is {num_heads}, num_levels {num_levels} and num_points {num_points}; "
                "each must be positive."
            )
        if num_channels % num_heads:
            raise ValueError(
                f"num_channels is {num_channels}, but {num_heads} heads need a multiple of "
                f"{num_heads}."
            )
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        num_samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(num_channels, num_samples * 2)
        self.attention_weights = nn.Linear(num_channels, num_samples)
        self.value_proj = nn.Linear(num_channels, num_channels)
        self.output_proj = nn.Linear(num_channels, num_channels)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start as released: point i of a head lies i cells away, each head in its direction."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=1)
        directions /= directions.abs().amax(dim=1, keepdim=True)
        points = torch.arange(1, self.num_points + 1)
        offsets = directions[:, None, None] * points[:, None]
        offsets = offsets.expand(-1, self.num_levels, -1, -1)
        self.sampling_offsets.bias.copy_(offsets.flatten())
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, queries: Tensor, references: Tensor, memory: Memory) -> Tensor:
        """Attend.

        Args:
            queries: ``(B, Q, D)`` contents with positions.
            references: ``(B, Q, L, 2)`` points, from which offsets count in cells, or
                ``(B, Q, L, 4)`` boxes: center x, center y, width, height; offsets count in
                ``1 / (2 P)`` of their size. In shares of the padded maps, float32 or wider.
            memory: the tokens.

        Returns:
            ``(B, Q, D)``.

        Raises:
            ValueError: the memory has not L levels.
        """
        self._check_levels(memory)
        values = self.value_proj(memory.tokens).masked_fill(memory.is_padding.unsqueeze(2), 0)
        weights = self.attention_weights(queries).unflatten(2, (self.num_heads, -1)).softmax(dim=3)
        weights = weights.unflatten(3, (self.num_levels, -1)).permute(3, 0, 2, 1, 4).flatten(1, 2)
        grids = 2 * self._locations(queries, references, memory.shapes) - 1
        grids = grids.permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
        levels = zip(memory._replace(tokens=values).levels(), weights, grids, strict=True)
        heads = sum((self._attend(*level) for level in levels), start=weights.new_zeros(()))
        output: Tensor = self.output_proj(heads.unflatten(0, (len(queries), -1)).flatten(1, 2).mT)
        return output

    def _check_levels(self, memory: Memory) -> None:
        if len(memory.shapes) != self.num_levels:
            raise ValueError(
                f"the attention is for num_levels={self.num_levels}, but the memory has "
                f"{len(memory.shapes)}; give neck, encoder and decoder the same num_levels."
            )

    def _locations(
        self, queries: Tensor, references: Tensor, shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Where to sample, ``(B, Q, h, L, P, 2)`` in shares of the padded maps."""
        offsets: Tensor = self.sampling_offsets(queries).to(references.dtype)
        offsets = offsets.unflatten(2, (self.num_heads, self.num_levels, self.num_points, 2))
        references = references[:, :, None, :, None]
        if references.shape[-1] == 4:
            units = references[..., 2:] * (0.5 / self.num_points)
        else:
            sizes = torch.tensor([(width, height) for height, width in shapes])
            units = 1 / sizes[:, None].to(references, non_blocking=True)
        return references[..., :2] + offsets * units

    def _attend(self, values: Tensor, weights: Tensor, grid: Tensor) -> Tensor:
        """What a level ``(B, D, H, W)`` adds at points ``(B h, Q, P, 2)``: ``(B h, D / h, Q)``."""
        values = values.to(grid.dtype).contiguous()  # Else sampling takes several times as long.
        by_head = values.unflatten(1, (self.num_heads, -1)).flatten(0, 1)
        samples = F.grid_sample(by_head, grid, align_corners=False)
        return torch.einsum("ndqp,nqp->ndq", samples, weights.to(grid.dtype))
