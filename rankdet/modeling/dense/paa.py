"""Probabilistic anchor assignment (PAA): an object takes the anchors that already find it best.

Letters: A anchors of all levels, P anchors with a possible object in all images, G objects, K
candidates per object.
"""

import math

import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from rankdet.losses._inputs import check_range
from rankdet.modeling.dense.assignment import (
    AnchorTargets,
    Positives,
    find_positives,
    targets_of_matches,
)
from rankdet.modeling.dense.paa_division import UpToLikeliest


class PAAAssigner:
    """Splits the anchors around each object by how well the model predicts it from them.

    Each anchor is a candidate for the object it overlaps most, if that IoU reaches
    ``iou_threshold``. The best anchors of an object are candidates for it at any IoU; if an anchor
    is best for several objects, the last one wins. The object keeps, on each level, the
    ``num_candidates`` of these anchors (all, if there are fewer) with the smallest loss: focal loss
    (alpha 0.25, gamma 2) of all classes plus GIoU loss of the predicted box. A mixture of two
    Gaussians is fitted to the losses of all levels together, and ``division`` says which candidates
    the object takes. All other anchors are background; none is ignored.

    Source: PAA (Kim and Lee, ECCV 2020) and the authors' release, with two differences: an anchor
    that is best for an object is a candidate for that one, as in mmdetection and the RS and BRS
    releases, not for the object it overlaps most; and an object that touches no anchor takes none.

    Args:
        num_classes: C.
        box2box_transform: decodes the predicted deltas.
        num_candidates: per level and object.
        iou_threshold: smallest IoU of an anchor and its object.
        division: of an object's candidates. None: :class:`UpToLikeliest`.

    Raises:
        ValueError: ``num_candidates`` is not positive or ``iou_threshold`` not in [0, 1].
    """

    def __init__(
        self,
        num_classes: int,
        box2box_transform: Box2BoxTransform,
        num_candidates: int = 9,
        iou_threshold: float = 0.1,
        division: UpToLikeliest | None = None,
    ) -> None:
        check_range("num_candidates", num_candidates, 1)
        check_range("iou_threshold", iou_threshold, 0, 1)
        self.num_classes = num_classes
        self.box2box_transform = box2box_transform
        self.num_candidates = num_candidates
        self.iou_threshold = iou_threshold
        self.division = division or UpToLikeliest()

    @torch.no_grad()
    def __call__(
        self, anchors: list[Boxes], gt_instances: list[Instances], logits: Tensor, deltas: Tensor
    ) -> AnchorTargets:
        """See :meth:`Assigner.__call__`."""
        all_anchors = Boxes.cat(anchors)
        matches = [self._match(all_anchors, gt.gt_boxes) for gt in gt_instances]
        targets = targets_of_matches(matches, gt_instances, self.num_classes)
        possible = find_positives(targets, anchors, self.num_classes)
        where = possible.images, possible.indices
        classes = targets.labels[where]
        losses = self._losses(possible, classes, logits, deltas)
        most_objects = max(len(gt) for gt in gt_instances)
        objects = possible.images * most_objects + torch.stack(matches)[where]
        groups = objects * len(anchors) + _levels(anchors)[possible.indices]
        table_shape = len(gt_instances) * most_objects, len(anchors), self.num_candidates
        is_taken = self._is_taken(losses, groups, table_shape)
        targets.labels[where] = classes.where(is_taken, self.num_classes)
        return targets

    def _match(self, anchors: Boxes, gt_boxes: Boxes) -> Tensor:
        """Object that each anchor may have, -1 if none; ``(A,)``."""
        if len(gt_boxes) == 0:
            return torch.full((len(anchors),), -1, device=gt_boxes.device)
        ious = pairwise_iou(gt_boxes, anchors)
        matched = ious.argmax(0)
        matched = matched.where(ious.amax(0) >= self.iou_threshold, -1)
        is_best = (ious == ious.amax(1, keepdim=True)) & (ious > 0)
        index = torch.arange(len(ious), dtype=torch.int32, device=ious.device)
        last = index[:, None].where(is_best, -1).amax(0).long()
        return last.where(last >= 0, matched)

    def _losses(
        self, possible: Positives, classes: Tensor, logits: Tensor, deltas: Tensor
    ) -> Tensor:
        """Focal + GIoU loss of the P anchors, ``(P,)``."""
        targets = one_hot(classes, self.num_classes)
        focal: Tensor = sigmoid_focal_loss(possible.take(logits).float(), targets.float()).sum(1)
        boxes = self.box2box_transform.apply_deltas(possible.take(deltas).float(), possible.anchors)
        giou: Tensor = generalized_box_iou_loss(boxes, possible.gt_boxes)
        return focal + giou

    def _is_taken(self, losses: Tensor, groups: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Which of the P anchors their object takes, ``(P,)``.

        Args:
            losses: ``(P,)``.
            groups: ``(P,)``, the same number for the anchors of one object and level.
            shape: of the table of losses: objects, levels, candidates.
        """
        order = losses.argsort(stable=True)
        order = order[groups[order].argsort(stable=True)]
        groups = groups[order]
        ranks = torch.arange(len(order), device=order.device) - torch.searchsorted(groups, groups)
        # All that are not candidates share the slot behind the table.
        slots = (groups * shape[2] + ranks).where(ranks < shape[2], math.prod(shape))
        table = losses.new_full((math.prod(shape) + 1,), math.inf)
        table[slots] = losses[order]
        is_low = self.division(table[:-1].view(shape[0], shape[1] * shape[2]))
        is_taken = torch.cat([is_low.flatten(), is_low.new_zeros(1)])[slots]
        return torch.empty_like(is_taken).scatter(0, order, is_taken)


def _levels(anchors: list[Boxes]) -> Tensor:
    """Level of each anchor, ``(A,)``."""
    levels = [torch.full((len(x),), n, device=x.device) for n, x in enumerate(anchors)]
    return torch.cat(levels)
