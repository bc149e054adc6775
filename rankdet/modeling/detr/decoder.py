"""The decoder: queries attend to one another and to the tokens, and refine their boxes.

Letters: B images, D channels, L levels, Q queries, G layers, K logits of a query.
"""

import torch
from torch import Tensor, nn
from torchvision.ops import MLP

from rankdet.modeling.detr.attention import DeformableAttention
from rankdet.modeling.detr.encoder import start_weights
from rankdet.modeling.detr.maps import Memory
from rankdet.modeling.detr.queries import Predictions, Queries

_EPS = 1e-5  # Shares are kept so far from 0 and 1 when they become logits.


class BoxHead(nn.Sequential):
    """Three linear layers from a token or query to the change of its box, which starts at 0.

    Args:
        num_channels: D.
    """

    def __init__(self, num_channels: int) -> None:
        last = nn.Linear(num_channels, 4)
        super().__init__(
            nn.Linear(num_channels, num_channels),
            nn.ReLU(),
            nn.Linear(num_channels, num_channels),
            nn.ReLU(),
            last,
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention to the tokens, and a feed-forward network.

    Each is added and then normalized.

    Args:
        num_channels: D.
        num_heads: of both attentions.
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
        self.self_attention = nn.MultiheadAttention(
            num_channels, num_heads, dropout=dropout, batch_first=True
        )
        self.self_attention_norm = nn.LayerNorm(num_channels)
        self.attention = DeformableAttention(num_channels, num_heads, num_levels, num_points)
        self.attention_norm = nn.LayerNorm(num_channels)
        self.feed_forward = MLP(num_channels, [hidden_channels, num_channels], dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(num_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, contents: Tensor, positions: Tensor, references: Tensor, memory: Memory
    ) -> Tensor:
        """New contents ``(B, Q, D)``.

        Args:
            contents: ``(B, Q, D)``.
            positions: ``(B, Q, D)``.
            references: ``(B, Q, L, 4)`` boxes in shares of the padded maps.
            memory: the tokens.
        """
        queries = contents + positions
        attended = self.self_attention(queries, queries, contents, need_weights=False)[0]
        contents = self.self_attention_norm(contents + self.dropout(attended))
        attended = self.attention(contents + positions, references, memory)
        contents = self.attention_norm(contents + self.dropout(attended))
        new: Tensor = self.feed_forward_norm(contents + self.feed_forward(contents))
        return new


class Decoder(nn.Module):
    """Layers, each with a head for classes and a head for boxes of its own.

    A layer looks at the boxes of the layer before, which are constants there. What it predicts is
    its own change on top of the box of the layer before, with gradient to both ("look forward
    twice").

    Source: Deformable DETR with iterative refinement; look forward twice is DINO's (Zhang et al.,
    2022, section 3.5), as in Co-DETR. The positions of the queries stay those of their first boxes,
    as there; DINO renews them. The last layer is not normalized once more.

    Args:
        num_logits: K.
        num_channels: D.
        num_heads: of attention.
        num_levels: L.
        num_points: per head and level.
        hidden_channels: of the feed-forward networks.
        num_layers: G.
        dropout: probability.
    """

    def __init__(
        self,
        *,
        num_logits: int,
        num_channels: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        hidden_channels: int,
        num_layers: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(
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
        self.class_heads = nn.ModuleList(
            nn.Linear(num_channels, num_logits) for _ in range(num_layers)
        )
        self.box_heads = nn.ModuleList(BoxHead(num_channels) for _ in range(num_layers))

    def forward(self, queries: Queries, memory: Memory) -> Predictions:
        """Predictions of all G layers.

        Args:
            queries: Q of each image.
            memory: the tokens of these images.
        """
        ratios = memory.valid_ratios.repeat(1, 1, 2)[:, None]
        contents, boxes = queries.contents, queries.boxes
        logits, predicted = [], []
        layers = zip(self.layers, self.class_heads, self.box_heads, strict=True)
        for layer, class_head, box_head in layers:
            references = boxes.detach()
            contents = layer(contents, queries.positions, references[:, :, None] * ratios, memory)
            change = box_head(contents).to(boxes.dtype)
            logits.append(class_head(contents))
            predicted.append((change + boxes.logit(_EPS)).sigmoid())
            boxes = (change + references.logit(_EPS)).sigmoid()
        return Predictions(torch.stack(logits), torch.stack(predicted))
