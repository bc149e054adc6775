"""Box predictor for Fast, Mask and Cascade R-CNN with an injected ranking loss.

Shapes: N proposals of all images, C foreground classes, F foreground proposals.
"""

from collections.abc import Callable

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Instances
from torch import Tensor, nn

from rankdet.losses.ranking import RankingLoss, score_weights
from rankdet.modeling.box_predictor import BoxPredictor, linear_classifier, log_statistics
from rankdet.modeling.targets import box_quality, num_proposals, roi_targets


class RankingBoxPredictor(BoxPredictor):
    """Predictor of C one-vs-all logits and boxes, trained by one ranking loss for both.

    Boxes are trained by GIoU on the decoded boxes; their IoU with the ground truth goes to the loss
    as label or localisation error. Give it all proposals, unsampled: see
    :class:`rankdet.modeling.ranking_roi_heads.RankingROIHeads`.

    Source: the released RS and aLRP code. The classifier starts without a prior there.

    Args:
        input_shape: shape of the per-proposal feature.
        loss: ranking loss.
        num_classes: C; must be the loss's.
        box2box_transform: as in Detectron2.
        classifier: see :class:`BoxPredictor`.
        prior_prob: likewise.
        cls_agnostic_bbox_reg: one box per proposal instead of one per class.
        loss_weight: weight of all parts of the loss.
        test_score_thresh: smallest score of a detection. Ranking losses score high, so that small
            thresholds leave NMS much to do; the RS release has 0.4 for COCO and 0.6 for LVIS.
        test_nms_thresh: IoU of non-maximum suppression.
        test_topk_per_image: largest number of detections, LVIS: 300.

    Raises:
        TypeError: the loss is not a :class:`RankingLoss`.
        ValueError: ``num_classes`` differs from the loss's or ``prior_prob`` is no probability.
    """

    loss_type = RankingLoss

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the injected parts)
        self,
        input_shape: ShapeSpec,
        *,
        loss: RankingLoss,
        num_classes: int,
        box2box_transform: Box2BoxTransform,
        classifier: Callable[[int, int], nn.Module] = linear_classifier,
        prior_prob: float | None = None,
        cls_agnostic_bbox_reg: bool = False,
        loss_weight: float = 1.0,
        test_score_thresh: float = 1e-4,
        test_nms_thresh: float = 0.5,
        test_topk_per_image: int = 300,
    ) -> None:
        super().__init__(
            input_shape,
            loss=loss,
            num_classes=num_classes,
            box2box_transform=box2box_transform,
            classifier=classifier,
            prior_prob=prior_prob,
            cls_agnostic_bbox_reg=cls_agnostic_bbox_reg,
            test_score_thresh=test_score_thresh,
            test_nms_thresh=test_nms_thresh,
            test_topk_per_image=test_topk_per_image,
        )
        self.loss_weight = loss_weight

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        """Parts of the ranking loss; leaves ``score_weights`` in the proposals for the mask head.

        Args:
            predictions: logits ``(N, C)`` and box deltas ``(N, 4 or 4 C)``.
            proposals: labelled, one ``Instances`` per image.

        Returns:
            Weighted scalars, ``loss_box_reg`` and those of the loss.
        """
        logits, deltas = predictions
        labels, boxes, gt_boxes = roi_targets(proposals, logits.device)
        self.log_accuracy(logits, labels)
        weights = score_weights(logits).split(num_proposals(proposals))
        for image, image_weights in zip(proposals, weights, strict=True):
            image.score_weights = image_weights
        rows = ((labels >= 0) & (labels < self.num_classes)).nonzero().squeeze(1)
        decoded = self.box2box_transform.apply_deltas(
            _deltas_of_classes(deltas[rows], labels[rows]), boxes[rows]
        )
        losses = self.loss(logits, labels, *box_quality(decoded, gt_boxes[rows]))
        log_statistics(self.loss, "roi_head")
        return {name: loss * self.loss_weight for name, loss in losses.items()}


def _deltas_of_classes(deltas: Tensor, labels: Tensor) -> Tensor:
    """Take ``(F, 4)`` out of ``(F, 4)`` or ``(F, 4 C)`` deltas."""
    per_class = deltas.unflatten(1, (-1, 4))
    if per_class.shape[1] == 1:
        return per_class[:, 0]
    return per_class[torch.arange(len(labels), device=labels.device), labels]
