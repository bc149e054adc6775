"""Further decoder queries from the positives of a collaborative head (Co-DETR, section 3.3).

Letters: B images, R rows of a head (anchors or proposals of an image), n queries of an image, D
channels, C classes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.ops import box_convert

from rankdet.losses import IGNORED
from rankdet.losses._inputs import check_range
from rankdet.modeling.detr.positions import box_code
from rankdet.modeling.detr.queries import Queries
from rankdet.modeling.detr.query_loss import QueryTargets

_SMALLEST_SHARE = 1e-5  # As where the decoder takes the logits of boxes.


class AuxiliaryPositives(NamedTuple):
    """The rows of a head, positives and others, of which queries are made.

    Attributes:
        boxes: ``(B, R, 4)`` corners, pixels, without gradient.
        labels: ``(B, R)`` int64 in [0, C]; C is background, -1 an ignored row.
        gt_boxes: ``(B, R, 4)`` corners, pixels; that of background means nothing.
        features: ``(B, R / A, D)``: A rows in succession share one.
    """

    boxes: Tensor
    labels: Tensor
    gt_boxes: Tensor
    features: Tensor


class AuxiliaryQueries(nn.Module):
    """Makes queries of the positives of one head, and knows what they are to find.

    All images have the same number n of queries: the largest number of positives of an image,
    between ``min_queries`` and ``max_queries``. More positives: a random choice. Fewer: filled up
    with random negatives, which count as background. Fewer rows than n: filled up with ignored
    rows, of which the loss knows nothing.

    Source: Co-DETR as released: all of this, and that the queries of a head attend to one another
    without a mask. There the position of a head is one number, as the authors say by mistake; here
    it is a vector. There the first layer looks around boxes larger than the image; here, as in its
    refinement, sizes end at the image's.

    Args:
        num_channels: D.
        num_classes: C.
        min_queries: see above.
        max_queries: see above.

    Raises:
        ValueError: ``min_queries`` is below 1 or above ``max_queries``.
    """

    def __init__(
        self, *, num_channels: int, num_classes: int, min_queries: int = 9, max_queries: int = 300
    ) -> None:
        super().__init__()
        check_range("min_queries", min_queries, 1)
        check_range("max_queries", max_queries, min_queries)
        self.num_channels = num_channels
        self.num_classes = num_classes
        self.min_queries = min_queries
        self.max_queries = max_queries
        self.boxes = _normed_linear(2 * num_channels)
        self.features = _normed_linear(num_channels)
        self.position = nn.Parameter(torch.empty(1, num_channels))
        nn.init.xavier_uniform_(self.position)

    def forward(
        self, positives: AuxiliaryPositives, image_sizes: list[tuple[int, int]]
    ) -> tuple[Queries, QueryTargets]:
        """Choose rows, and make queries of them.

        Args:
            positives: of B images.
            image_sizes: height and width of each, without padding.

        Returns:
            n queries of each image, and what they are to be: labels and boxes of G = 1 layer.
        """
        num_queries = self._num_queries(positives.labels)
        chosen = self._choose(positives.labels, num_queries)
        boxes, labels, gt_boxes, features = _pick(positives, chosen, image_sizes)
        missing = num_queries - chosen.shape[1]
        boxes, gt_boxes = (F.pad(x, (0, 0, 0, missing), value=0.5) for x in (boxes, gt_boxes))
        labels = F.pad(labels, (0, missing), value=IGNORED)
        features = F.pad(features, (0, 0, 0, missing))
        return self._queries(boxes, features), QueryTargets(labels[None], gt_boxes[None])

    def _num_queries(self, labels: Tensor) -> int:
        """The number n; the host waits for it, as it is a size."""
        largest = self._is_positive(labels).sum(dim=1).amax()
        return int(largest.clamp(self.min_queries, self.max_queries))

    def _choose(self, labels: Tensor, num_queries: int) -> Tensor:
        """Rows at random, positives before negatives before ignored ones; at most ``(B, n)``."""
        rank = self._is_positive(labels).float() + (labels != IGNORED).float()
        keys = rank + 0.5 * torch.rand_like(rank)
        return keys.topk(min(num_queries, labels.shape[1]), dim=1).indices

    def _is_positive(self, labels: Tensor) -> Tensor:
        return (labels >= 0) & (labels < self.num_classes)

    def _queries(self, boxes: Tensor, features: Tensor) -> Queries:
        code = self.boxes(box_code(boxes, 2 * self.num_channels))
        position, content = code.chunk(2, dim=2)
        return Queries(content + self.features(features), position + self.position, boxes)


def _normed_linear(num_channels: int) -> nn.Sequential:
    linear = nn.Linear(num_channels, num_channels)
    nn.init.xavier_uniform_(linear.weight)
    return nn.Sequential(linear, nn.LayerNorm(num_channels))


def _pick(
    positives: AuxiliaryPositives, chosen: Tensor, image_sizes: list[tuple[int, int]]
) -> tuple[Tensor, ...]:
    """Boxes, labels, ground truth and features of the chosen rows; boxes as shares of the image."""
    images = torch.arange(len(chosen), device=chosen.device)[:, None]
    wide = torch.promote_types(positives.boxes.dtype, positives.features.dtype)
    sizes = torch.tensor(image_sizes, dtype=wide, device=chosen.device)
    sizes = sizes.flip(1).repeat(1, 2)[:, None]
    boxes, gt_boxes = (
        box_convert(corners[images, chosen] / sizes, "xyxy", "cxcywh")
        for corners in (positives.boxes, positives.gt_boxes)
    )
    rows_per_feature = positives.labels.shape[1] // max(positives.features.shape[1], 1)
    features = positives.features[images, chosen // max(rows_per_feature, 1)]
    boxes = boxes.clamp(_SMALLEST_SHARE, 1 - _SMALLEST_SHARE)
    return boxes, positives.labels[images, chosen], gt_boxes, features
