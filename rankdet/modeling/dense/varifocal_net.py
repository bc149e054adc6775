"""VarifocalNet: a one-stage detector that refines its boxes and scores by the IoU it expects."""

from detectron2.modeling import Backbone
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from torch import Tensor

from rankdet.losses._inputs import check_range
from rankdet.losses.base import HeadLoss
from rankdet.modeling.box_losses import GIoUBoxLoss
from rankdet.modeling.dense.assignment import Assigner, Positives
from rankdet.modeling.dense.candidates import Candidates
from rankdet.modeling.dense.detector import OneStageDetector
from rankdet.modeling.dense.quality import mean_one_over_ranks
from rankdet.modeling.dense.varifocal_head import VarifocalHead


class VarifocalNet(OneStageDetector):
    """Trains first and refined boxes by GIoU, each weighted by the IoU that it has reached.

    The loss sees the IoUs of the refined boxes; the paper's is ``VarifocalLoss(box_weight=2.0)``.

    Source: Zhang et al., VarifocalNet, CVPR 2021, eq. 2 and section 3.4, with ATSS as
    ``assigner``. As in the release, weighted GIoU losses are divided by the sum of the weights, the
    mean over ranks, but at least by 1.

    Args:
        backbone: as in :class:`OneStageDetector`, like all that is not described here.
        head: its strides must be those of the features.
        head_in_features: see there.
        anchor_generator: one anchor per location, of the size that ``assigner`` wants.
        assigner: see there.
        loss: see there.
        num_classes: see there.
        first_box_weight: weight of the GIoU loss of the first boxes.
        prior_prob: see there.
        candidates: see there.
        test_score_thresh: see there.
        test_topk_candidates: see there.
        test_nms_thresh: see there.
        max_detections_per_image: see there.
        padding_divisor: anchors over the padding of the batch are no candidates of ``assigner``;
            see there. As in the release they are background.
        pixel_mean: see there.
        pixel_std: see there.

    Raises:
        ValueError: see there, the head was built for other strides, or ``first_box_weight`` is
            negative or not finite.
    """

    def __init__(  # noqa: PLR0913  (OneStageDetector's constructor without what is fixed here)
        self,
        *,
        backbone: Backbone,
        head: VarifocalHead,
        head_in_features: list[str],
        anchor_generator: DefaultAnchorGenerator,
        assigner: Assigner,
        loss: HeadLoss,
        num_classes: int,
        first_box_weight: float = 1.5,
        prior_prob: float = 0.01,
        candidates: Candidates | None = None,
        test_score_thresh: float = 0.05,
        test_topk_candidates: int = 1000,
        test_nms_thresh: float = 0.6,
        max_detections_per_image: int = 100,
        padding_divisor: int | None = None,
        pixel_mean: list[float],
        pixel_std: list[float],
    ) -> None:
        check_range("first_box_weight", first_box_weight, 0)
        distances = Box2BoxTransformLinear(normalize_by_size=False)
        super().__init__(
            backbone=backbone,
            head=head,
            head_in_features=head_in_features,
            anchor_generator=anchor_generator,
            box2box_transform=distances,
            assigner=assigner,
            loss=loss,
            box_loss=GIoUBoxLoss(),
            num_classes=num_classes,
            prior_prob=prior_prob,
            candidates=candidates,
            test_score_thresh=test_score_thresh,
            test_topk_candidates=test_topk_candidates,
            test_nms_thresh=test_nms_thresh,
            max_detections_per_image=max_detections_per_image,
            padding_divisor=padding_divisor,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
        )
        shapes = backbone.output_shape()
        _check_strides(head.strides, [shapes[name].stride for name in head_in_features])
        self.first_box_weight = first_box_weight
        self.padding_label = num_classes

    def losses(
        self, labels: Tensor, positives: Positives, logits: Tensor, deltas: Tensor, *others: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`OneStageDetector.losses`.

        Args:
            labels: ``(I, A)``.
            positives: F anchors.
            logits: ``(I, A, C)``.
            deltas: ``(I, A, 4)`` of the refined boxes.
            others: ``(I, A, 4)`` of the first boxes, alone.

        Returns:
            Those of the loss, and ``loss_first_box_reg``.
        """
        (first,) = others
        ious, box_losses, _ = self._weighted_box_losses(deltas, positives)
        _, first_losses, num_foreground = self._weighted_box_losses(first, positives)
        return {
            **self.loss.losses(logits.flatten(0, 1), labels.flatten(), ious, box_losses),
            "loss_first_box_reg": self.first_box_weight * first_losses.sum() / num_foreground,
        }

    def _weighted_box_losses(
        self, deltas: Tensor, positives: Positives
    ) -> tuple[Tensor, Tensor, Tensor]:
        """IoUs and losses, ``(F,)``, and the mean of F over ranks, at least 1."""
        boxes = positives.take(deltas), positives.anchors, positives.gt_boxes
        ious, losses = self.box_loss(*boxes, self.box2box_transform)
        weights, num_foreground = mean_one_over_ranks(ious, smallest_sum=1.0)
        return ious, weights * losses, num_foreground


def _check_strides(head_strides: list[int], strides: list[int]) -> None:
    if head_strides != strides:
        raise ValueError(
            f"head was built for strides {head_strides}, but the features have {strides}; give it "
            "their ShapeSpecs as input_shape."
        )
