"""The losses of queries whose objects are known.

Letters: B images, Q queries, G layers, N = B Q rows of a layer, C classes, K logits, F foreground
rows of a layer.
"""

from typing import NamedTuple

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from rankdet.losses import IGNORED, positives_per_rank
from rankdet.losses._inputs import check_range
from rankdet.losses.base import HeadLoss
from rankdet.modeling.detr.queries import Predictions
from rankdet.modeling.detr.shares import gt_shares, ious_and_gious


class QueryTargets(NamedTuple):
    """What queries should have predicted.

    Attributes:
        labels: ``(G, B, Q)`` int64 in [0, C]; C is background, -1 an ignored query. Every layer has
            as many foreground queries as the others.
        gt_boxes: ``(G, B, Q, 4)`` center x, center y, width, height in shares of the image; those
            of other queries than foreground mean nothing.
    """

    labels: Tensor
    gt_boxes: Tensor


def targets_of_queries(
    matches: Tensor,
    gt_instances: list[Instances],
    num_classes: int,
    is_candidate: Tensor | None = None,
) -> QueryTargets:
    """Give each query the class and the box of its object.

    Args:
        matches: ``(G, B, Q)`` int64: object of its image, or -1.
        gt_instances: of the B images.
        num_classes: C.
        is_candidate: ``(B, Q)`` bool; the others are ignored. None: none is.
    """
    no_box = matches.new_zeros(1, 4, dtype=torch.float32)
    classes = torch.cat([*(x.gt_classes for x in gt_instances), matches.new_tensor([num_classes])])
    boxes = torch.cat([gt_shares(gt_instances), no_box])
    num_before = matches.new_tensor([0, *(len(x) for x in gt_instances)]).cumsum(0)
    rows = torch.where(matches < 0, -1, matches + num_before[:-1].unsqueeze(1))
    labels = classes[rows]
    if is_candidate is not None:
        labels = labels.where(is_candidate, IGNORED)
    return QueryTargets(labels, boxes[rows])


class QueryLoss(nn.Module):
    """Sum over layers of any loss of classes and boxes, and of the L1 distance of boxes.

    GIoU goes through the loss as it does in any other head, L1 through :meth:`HeadLoss.balance`.
    So Rank & Sort balances both, each layer by itself: its ranking is that of all images of a
    process, and the two weights of boxes take the value of ``class_weight`` (ranking + sorting) if
    all three are the same, as in BRS-DETR, where the release doubles the loss and the paper does
    not. A query that does not overlap its object stays a positive; in the release of BRS-DETR it
    becomes a negative.

    Source: Co-DETR as released (2, 5 and 2 for focal loss); bucketed_ranking eqs. 16 and 17.

    Args:
        loss: of one layer.
        class_weight: weight of the loss's own terms, >= 0.
        l1_weight: weight of the L1 distance in shares of the image, summed over the four numbers,
            >= 0. It is the mean over the positives of all ranks.
        giou_weight: weight of the loss's box term, >= 0.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    def __init__(
        self,
        loss: HeadLoss,
        *,
        class_weight: float = 2.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
    ) -> None:
        super().__init__()
        for name, weight in (
            ("class_weight", class_weight),
            ("l1_weight", l1_weight),
            ("giou_weight", giou_weight),
        ):
            check_range(name, weight, 0)
        self.loss = loss
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight

    def forward(self, predictions: Predictions, targets: QueryTargets) -> dict[str, Tensor]:
        """Penalize the predictions of all layers.

        Args:
            predictions: logits ``(G, B, Q, K)`` and boxes ``(G, B, Q, 4)``.
            targets: of the same queries.

        Returns:
            Weighted scalars: the loss's own, and ``loss_l1``; 0 and connected to the graph where
            there are no positives and nothing else to penalize.
        """
        logits, labels = predictions.logits.flatten(1, 2), targets.labels.flatten(1, 2)
        if self.loss.training:
            self.loss.observe(logits[-1].detach(), labels[-1])
        ious, gious, distances = self._overlaps(predictions.boxes, targets)
        losses = self.loss.losses_of_layers(logits, labels, ious, 1 - gious)
        mean_distances = distances.sum(dim=1) / positives_per_rank(distances.shape[1], distances)
        losses = {**losses, "loss_l1": self.loss.balance(mean_distances, losses)}
        weights = {"loss_l1": self.l1_weight, "loss_box_reg": self.giou_weight}
        return {
            name: weights.get(name, self.class_weight) * by_layer.sum()
            for name, by_layer in losses.items()
        }

    def _overlaps(self, boxes: Tensor, targets: QueryTargets) -> tuple[Tensor, Tensor, Tensor]:
        """IoUs without gradient, GIoUs and L1 distances ``(G, F)`` of the foreground."""
        is_foreground = (targets.labels >= 0) & (targets.labels < self.loss.num_classes)
        rows = is_foreground.flatten().nonzero().squeeze(1)
        pairs = boxes.flatten(0, 2)[rows], targets.gt_boxes.flatten(0, 2)[rows]
        ious, gious = ious_and_gious(*pairs)
        distances = (pairs[0] - pairs[1]).abs().sum(dim=1)
        num_layers = len(boxes)
        shape = num_layers, len(rows) // num_layers
        return ious.detach().view(shape), gious.view(shape), distances.view(shape)

    def extra_repr(self) -> str:
        """Show the weights when the model is printed."""
        return (
            f"class_weight={self.class_weight}, l1_weight={self.l1_weight}, "
            f"giou_weight={self.giou_weight}"
        )
