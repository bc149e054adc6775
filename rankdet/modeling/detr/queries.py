"""What goes into the decoder and what comes out of it.

Letters: B images, D channels, Q queries, G layers, K logits of a query.
"""

from typing import NamedTuple

from torch import Tensor


class Queries(NamedTuple):
    """What the decoder is asked about.

    Attributes:
        contents: ``(B, Q, D)`` what a query looks for.
        positions: ``(B, Q, D)`` where, added to the contents for attention.
        boxes: ``(B, Q, 4)`` to start from: center x, center y, width, height in shares of the
            image's own size, in [0, 1], constants of the graph.
    """

    contents: Tensor
    positions: Tensor
    boxes: Tensor


class Predictions(NamedTuple):
    """What G layers say about each query.

    Attributes:
        logits: ``(G, B, Q, K)``.
        boxes: ``(G, B, Q, 4)`` center x, center y, width, height in shares of the image's own size,
            in [0, 1], float32 or wider.
    """

    logits: Tensor
    boxes: Tensor
