"""Score voting: detections moved to the mean of the boxes that agree with them."""

import torch
from detectron2.structures import Boxes, Instances, pairwise_iou

_SMALLEST_IOU = 0.01  # As released.


class ScoreVoting:
    """Replaces each kept box by a weighted mean of the candidates of its class.

    A candidate with score s and IoU u > 0.01 has the weight ``s exp(-(1 - u)^2 / sigma)``. Scores
    and classes stay. The kept box is a candidate, too.

    Source: PAA (Kim and Lee, ECCV 2020), score voting, with the threshold of 0.01 of the release.

    Args:
        sigma: how fast the weight falls with the IoU.

    Raises:
        ValueError: ``sigma`` is not positive.
    """

    def __init__(self, sigma: float = 0.025) -> None:
        if not sigma > 0:
            raise ValueError(f"sigma is {sigma}, but it divides a square; give a number above 0.")
        self.sigma = sigma

    @torch.no_grad()
    def __call__(self, kept: Instances, candidates: Instances) -> Instances:
        """Vote on the boxes of one image.

        Args:
            kept: D detections that non-maximum suppression left, with ``pred_boxes``, ``scores``
                and ``pred_classes``.
            candidates: M detections from before, with the same fields.

        Returns:
            The D detections with new ``pred_boxes``; those that no candidate overlaps keep theirs.
        """
        ious = pairwise_iou(kept.pred_boxes, candidates.pred_boxes)
        is_voter = kept.pred_classes[:, None] == candidates.pred_classes
        is_voter = is_voter & (ious > _SMALLEST_IOU)  # In place, ONNX has no such operation.
        votes = candidates.scores * torch.exp(-(1 - ious).square() / self.sigma)
        # float64: neither autocast nor TF32 touch this product of weights and pixels.
        votes = votes.double() * is_voter
        total = votes.sum(1, keepdim=True)
        means = votes @ candidates.pred_boxes.tensor.double() / total
        boxes = kept.pred_boxes.tensor
        voted = Instances(kept.image_size, **kept.get_fields())
        voted.pred_boxes = Boxes(torch.where(total > 0, means.to(boxes.dtype), boxes))
        return voted
