"""Which object an anchor belongs to, by their IoU."""

import torch
from detectron2.modeling.matcher import Matcher
from torch import Tensor

from rankdet.losses._inputs import check_range


class BestAnchorMatcher(Matcher):
    """Detectron2's matcher, but an object really gets its best anchors, and only good enough ones.

    The anchors whose IoU with an object is the largest of all (several in a tie) become positive
    and its own if that IoU is at least ``min_iou``, even if they overlap another object more. Where
    an anchor is the best of several objects, the last of them wins. An IoU of 0 is never enough.
    All other anchors belong to the object that they overlap most and are labeled by thresholds.

    Source: MaxIoUAssigner of mmdetection, the assigner of all its RPNs (``min_pos_iou=0.3``) and of
    its RetinaNet (0). Differs from it where an object touches no anchor and ``min_iou`` is 0: there
    it gets all the anchors that it does not touch, here none. In Detectron2 a best anchor becomes
    positive at any IoU, for the object that it overlaps most, and such an object makes all the
    anchors that it does not touch positives of others.

    Args:
        thresholds: ascending IoUs that divide the anchors; an IoU that equals one is above it.
        labels: of the anchors below, between and above them: 1 object, 0 background, -1 ignored.
        min_iou: smallest IoU of an object with its best anchors, in [0, 1].

    Raises:
        ValueError: ``min_iou`` is not in [0, 1].
    """

    def __init__(self, thresholds: list[float], labels: list[int], min_iou: float = 0.0) -> None:
        check_range("min_iou", min_iou, 0, 1)
        super().__init__(thresholds, labels, allow_low_quality_matches=False)
        self.min_iou = min_iou

    def __call__(self, match_quality_matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Match A anchors to G objects.

        Args:
            match_quality_matrix: ``(G, A)`` IoUs, G >= 0.

        Returns:
            ``(A,)`` int64 objects, 0 without any, and ``(A,)`` int8 labels.
        """
        ious = match_quality_matrix
        matches, labels = super().__call__(ious)
        if ious.numel() == 0:
            return matches, labels
        best = ious.amax(dim=1, keepdim=True)
        # No IoU equals the best one of an object without good enough anchors.
        best = best.where((best >= self.min_iou) & (best > 0), torch.inf)
        objects, anchors = (ious == best).nonzero(as_tuple=True)
        last = torch.full_like(matches, -1).scatter_reduce(0, anchors, objects, "amax")
        return matches.where(last < 0, last), labels.masked_fill(last >= 0, 1)
