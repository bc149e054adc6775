"""Turns the best tokens of the encoder into queries of the decoder.

Letters: B images, L levels, S tokens of all levels, Q queries, D channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rankdet.modeling.detr.decoder import BoxHead
from rankdet.modeling.detr.encoder import cell_centers
from rankdet.modeling.detr.maps import Memory
from rankdet.modeling.detr.positions import box_code
from rankdet.modeling.detr.queries import Predictions, Queries

_INSIDE = 0.01, 0.99  # Priors whose center or size is not in between have no logits worth learning.
_EPS = 1e-5


class Selection(NamedTuple):
    """Queries, and what they were chosen by.

    Attributes:
        queries: Q of each image.
        predictions: of all tokens: one logit, whether it is an object, and a box; G = 1.
        is_candidate: ``(B, S)`` bool; the others are padding, or their prior is not inside.
    """

    queries: Queries
    predictions: Predictions
    is_candidate: Tensor


class QuerySelection(nn.Module):
    """Two-stage queries with mixed selection: boxes of the best tokens, contents of their own.

    Every token refines a prior box: the center of its cell, with a size that doubles from level to
    level. Those with the highest objectness become queries. Their boxes, constants of the graph,
    fix the positions; the contents are learned and the same for all images.

    Source: Deformable DETR (two-stage) and DINO (mixed selection) as in Co-DETR. There the tokens
    have a logit per class, of which the first alone is trained and used; here they have one. There
    padding and tokens whose prior is not inside are trained as background and may be chosen; here
    the loss ignores them, and they are chosen only if there are too few others.

    Args:
        num_channels: D, a multiple of 4.
        num_queries: Q; an image with fewer tokens has as many queries as tokens.
        smallest_size: width and height of a prior of the finest level, share of the image.

    Raises:
        ValueError: ``num_queries`` is not positive, or ``smallest_size`` not in (0.01, 0.99).
    """

    def __init__(self, *, num_channels: int, num_queries: int, smallest_size: float = 0.05) -> None:
        super().__init__()
        if num_queries < 1:
            raise ValueError(f"num_queries is {num_queries}; give one at least.")
        _check_size("smallest_size", smallest_size)
        self.num_queries = num_queries
        self.smallest_size = smallest_size
        self.projection = nn.Linear(num_channels, num_channels)
        self.norm = nn.LayerNorm(num_channels)
        self.class_head = nn.Linear(num_channels, 1)
        self.box_head = BoxHead(num_channels)
        self.contents = nn.Embedding(num_queries, num_channels)
        # Half of its output is thrown away; released weights have it.
        self.position = nn.Linear(2 * num_channels, 2 * num_channels)
        self.position_norm = nn.LayerNorm(2 * num_channels)
        for layer in (self.projection, self.position):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, memory: Memory) -> Selection:
        """Choose the queries.

        Raises:
            ValueError: the memory has a level whose priors are all too large.
        """
        priors = self.priors(memory)
        low, high = _INSIDE
        is_candidate = ((priors > low) & (priors < high)).all(dim=2) & ~memory.is_padding
        tokens = memory.tokens.masked_fill(~is_candidate.unsqueeze(2), 0)
        tokens = self.norm(self.projection(tokens))
        logits = self.class_head(tokens)
        boxes = (self.box_head(tokens) + priors.logit(_EPS)).sigmoid()
        ranked = logits.detach().squeeze(2).masked_fill(~is_candidate, -torch.inf)
        best = ranked.topk(min(self.num_queries, ranked.shape[1])).indices
        chosen = boxes.detach().gather(1, best.unsqueeze(2).expand(-1, -1, 4))
        predictions = Predictions(logits.unsqueeze(0), boxes.unsqueeze(0))
        return Selection(self.queries(chosen), predictions, is_candidate)

    def queries(self, boxes: Tensor) -> Queries:
        """Queries at these boxes.

        Args:
            boxes: ``(B, Q, 4)``, constants of the graph.
        """
        num_channels = self.contents.embedding_dim
        code = box_code(boxes, 2 * num_channels)
        positions = self.position_norm(self.position(code))[..., :num_channels]
        contents = self.contents.weight[: boxes.shape[1]].expand(len(boxes), -1, -1)
        return Queries(contents, positions, boxes)

    def priors(self, memory: Memory) -> Tensor:
        """The box that each token starts from.

        Returns:
            ``(B, S, 4)`` center x, center y, width, height in shares of the image, without
            gradient; those of padding are beyond 1.

        Raises:
            ValueError: a level's are too large for the image.
        """
        centers = cell_centers(memory)
        num_cells = [height * width for height, width in memory.shapes]
        sides = [self._size(level) for level in range(len(num_cells))]
        sizes = [centers.new_full((n, 2), side) for n, side in zip(num_cells, sides, strict=True)]
        return torch.cat([centers, torch.cat(sizes).expand_as(centers)], dim=2)

    def _size(self, level: int) -> float:
        size: float = self.smallest_size * 2**level
        _check_size(f"smallest_size * 2^{level}, the size of priors of level {level},", size)
        return size


def _check_size(name: str, size: float) -> None:
    low, high = _INSIDE
    if not low < size < high:
        raise ValueError(
            f"{name} is {size}, but priors that are not in ({low}, {high}) are never used; give a "
            "smaller smallest_size or fewer levels, and at least a hundredth of the image."
        )
