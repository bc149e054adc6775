"""What a head's third output foretells of a box: how central the anchor is, or the IoU."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._distributed import sum_over_ranks_
from rankdet.losses._inputs import check_range


class Quality(ABC):
    """A number in [0, 1] per box that a head learns; it weighs boxes and ranks detections.

    Args:
        loss_weight: of its loss against that of the classes; the releases have 1 for centerness and
            0.5 for the predicted IoU.
        smallest_sum: what box losses are divided by at least, on each rank; else by the sum of the
            targets. mmdetection: 1 for ATSS, 0 for FCOS and PAA.

    Raises:
        ValueError: ``loss_weight`` or ``smallest_sum`` is negative or not finite.
    """

    def __init__(self, loss_weight: float = 1.0, smallest_sum: float = 0.0) -> None:
        check_range("loss_weight", loss_weight, 0)
        check_range("smallest_sum", smallest_sum, 0)
        self.loss_weight = loss_weight
        self.smallest_sum = smallest_sum

    @abstractmethod
    def targets(self, anchors: Tensor, gt_boxes: Tensor, ious: Tensor) -> Tensor:
        """What the head is to predict.

        Args:
            anchors: ``(F, 4)`` pixels.
            gt_boxes: ``(F, 4)`` pixels.
            ious: ``(F,)`` of the predicted boxes.

        Returns:
            ``(F,)`` in [0, 1].
        """

    def __call__(
        self, logits: Tensor, anchors: Tensor, gt_boxes: Tensor, ious: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Penalize the prediction, and weigh the boxes by what it should be.

        Source: FCOS, ATSS and PAA as released, which weigh box losses by the target.

        Args:
            logits: ``(F,)`` predicted.
            anchors: see :meth:`targets`.
            gt_boxes: see there.
            ious: see there.

        Returns:
            ``(F,)`` weights of the box losses with a mean of 1 over all ranks (less if their sum is
            too small), and the binary cross-entropy, scalar: summed, over the mean number of
            foreground anchors of a rank, and weighted.
        """
        targets = self.targets(anchors, gt_boxes, ious)
        weights, num_foreground = mean_one_over_ranks(targets, self.smallest_sum)
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")
        return weights, self.loss_weight * loss / num_foreground

    def scores(self, scores: Tensor, logits: Tensor) -> Tensor:
        """Scores by which detections are ranked: the geometric mean of class and quality.

        Source: FCOS (2020), eq. 4; PAA. mmdetection's FCOS and ATSS have the product. The root of
        it keeps the order, so of a detection only the printed score differs.

        Args:
            scores: ``(A, C)`` of the classes.
            logits: ``(A, 1)`` of the quality.

        Returns:
            ``(A, C)``.
        """
        return (scores * logits.float().sigmoid()).sqrt()


class Centerness(Quality):
    """How central the anchor lies in its object's box: 1 in the center, 0 on the border.

    Source: FCOS, eq. 3; ATSS has it, too. An anchor whose center is outside counts 0.
    """

    def targets(self, anchors: Tensor, gt_boxes: Tensor, ious: Tensor) -> Tensor:
        """See :meth:`Quality.targets`."""
        centers = (anchors[:, :2] + anchors[:, 2:]) / 2
        sides = torch.stack([centers - gt_boxes[:, :2], gt_boxes[:, 2:] - centers]).clamp(min=0)
        tiny = torch.finfo(sides.dtype).tiny
        return (sides.amin(dim=0) / sides.amax(dim=0).clamp(min=tiny)).prod(dim=1).sqrt()


class PredictedIoU(Quality):
    """The IoU of the predicted box and its object.

    Source: PAA, as released.
    """

    def targets(self, anchors: Tensor, gt_boxes: Tensor, ious: Tensor) -> Tensor:
        """See :meth:`Quality.targets`."""
        return ious


def mean_one_over_ranks(values: Tensor, smallest_sum: float = 0.0) -> tuple[Tensor, Tensor]:
    """Scale values so that their mean over all ranks is 1; call it on every rank.

    Args:
        values: ``(F,)`` >= 0; a rank may have none.
        smallest_sum: if the mean over ranks of their sums is smaller, so is the mean of the result.

    Returns:
        The scaled values ``(F,)`` (zeros stay zeros), and max(total F, 1) / number of ranks, a
        scalar.
    """
    ones = torch.ones_like(values)
    mine = torch.stack([values.new_ones(()), ones.sum(), values.sum()])
    num_ranks, num_values, total = sum_over_ranks_(mine)
    tiny = torch.finfo(values.dtype).tiny
    total = total.clamp(min=tiny).maximum(smallest_sum * num_ranks)
    return values * num_values / total, num_values.clamp(min=1) / num_ranks
