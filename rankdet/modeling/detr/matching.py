"""One-to-one matching of predictions and objects.

Letters: B images, G layers, Q queries, C classes, n objects of an image.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from detectron2.structures import Instances
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rankdet.losses._inputs import check_range
from rankdet.modeling.detr.shares import gt_shares, ious_and_gious

_EPS = 1e-12  # Inside the logarithms, as released.
_NO_CANDIDATE = -math.inf  # No sum of these costs is: a box at infinity costs plus infinity or NaN.

Costs = npt.NDArray[np.floating]


class HungarianMatcher:
    """Gives every object the prediction that makes the sum of all costs smallest.

    The cost of a prediction with score p of the object's class and box b:
    class_weight (focal loss of p as a positive minus that as a negative, alpha .25, gamma 2)
    + l1_weight L1(b, object) - giou_weight GIoU(b, object), L1 in shares of the image.

    Source: Deformable DETR and Co-DETR as released; BRS-DETR has a class weight of 4. It is the
    focal cost for any loss. A ranking loss trains the order of the logits alone, so that their
    level, and with it the share of the class in the cost, may drift: log the matched scores.

    Args:
        class_weight: weight of the class, >= 0.
        l1_weight: weight of the L1 distance, >= 0.
        giou_weight: weight of the generalized IoU, >= 0.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    def __init__(
        self, *, class_weight: float = 2.0, l1_weight: float = 5.0, giou_weight: float = 2.0
    ) -> None:
        for name, weight in (
            ("class_weight", class_weight),
            ("l1_weight", l1_weight),
            ("giou_weight", giou_weight),
        ):
            check_range(name, weight, 0)
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight

    @torch.no_grad()
    def __call__(
        self,
        scores: Tensor,
        boxes: Tensor,
        gt_instances: list[Instances],
        is_candidate: Tensor | None = None,
    ) -> Tensor:
        """Match each layer and image; all costs go to the host in one transfer.

        Args:
            scores: ``(G, B, Q, C)`` probabilities, float32 or wider.
            boxes: ``(G, B, Q, 4)`` center x, center y, width, height in shares of the image.
            gt_instances: of the B images, with ``gt_boxes`` in pixels and ``gt_classes``.
            is_candidate: ``(B, Q)`` bool, which predictions may be matched. None: all.

        Returns:
            ``(G, B, Q)`` int64: the object of a prediction, or -1. If an image has more objects
            than candidates, every candidate has one.

        Raises:
            ValueError: scores are of half precision, or not of as many images as there are.
            FloatingPointError: scores or boxes are not finite.
        """
        _check_scores(scores, len(gt_instances))
        costs = self.costs(scores, boxes, gt_instances)
        if is_candidate is not None:
            costs.masked_fill_(~is_candidate.unsqueeze(2), _NO_CANDIDATE)
        on_host = costs.cpu().numpy()
        matches = torch.full(scores.shape[:3], -1)
        for image, instances in enumerate(gt_instances):
            for layer in range(len(scores)):
                cost = on_host[layer, image, :, : len(instances)]
                rows, objects = _assign(cost, layer, image)
                matches[layer, image, rows] = objects
        return matches.to(scores.device)

    def costs(self, scores: Tensor, boxes: Tensor, gt_instances: list[Instances]) -> Tensor:
        """What each match would cost.

        Args:
            scores: see :meth:`__call__`, like the other arguments.
            boxes: see there.
            gt_instances: see there.

        Returns:
            ``(G, B, Q, n)``, n the largest number of objects of an image. What is behind the
            objects of an image means nothing.
        """
        counts = [len(x) for x in gt_instances]
        gt_boxes = pad_sequence(gt_shares(gt_instances).split(counts), batch_first=True)
        gt_boxes = gt_boxes.to(boxes.dtype)
        classes = pad_sequence([x.gt_classes for x in gt_instances], batch_first=True)
        own = classes.unsqueeze(1).expand(*scores.shape[:3], -1)
        distances = torch.cdist(boxes, gt_boxes.expand(len(boxes), -1, -1, -1), p=1)
        _, gious = ious_and_gious(boxes.unsqueeze(3), gt_boxes.unsqueeze(1))
        class_costs = focal_costs(scores.gather(3, own))
        weighted = self.class_weight * class_costs + self.l1_weight * distances
        return weighted - self.giou_weight * gious


def focal_costs(probs: Tensor) -> Tensor:
    """Focal loss as a positive minus that as a negative, with alpha 0.25 and gamma 2.

    Args:
        probs: of any shape, in [0, 1].

    Returns:
        The same shape; falls as the probability rises.
    """
    positive = -0.25 * (1 - probs) ** 2 * (probs + _EPS).log()
    return positive + 0.75 * probs**2 * (1 - probs + _EPS).log()


def _assign(cost: Costs, layer: int, image: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the cheapest assignment."""
    candidates = np.flatnonzero((cost != _NO_CANDIDATE).all(axis=1))
    cost = cost[candidates]
    if not np.isfinite(cost).all():
        raise FloatingPointError(
            f"layer {layer} predicts scores or boxes that are not finite for image {image} of the "
            "batch, and these can't be matched"
        )
    rows, columns = linear_sum_assignment(cost)
    return torch.from_numpy(candidates[rows]), torch.from_numpy(columns)


def _check_scores(scores: Tensor, num_images: int) -> None:
    if scores.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"scores are {scores.dtype}, whose smallest steps decide matches; compute them from "
            "logits.float()."
        )
    if scores.dim() != 4 or scores.shape[1] != num_images:
        raise ValueError(
            f"scores must have shape (layers, {num_images}, queries, classes) for {num_images} "
            f"images of ground truth, got {tuple(scores.shape)}; give those of the same batch."
        )
