"""A one-stage detector whose assignment, losses and box scores are injected."""

from collections.abc import Callable

import torch
from detectron2.layers import batched_nms
from detectron2.modeling import Backbone
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from rankdet.losses import IGNORED
from rankdet.losses.base import HeadLoss
from rankdet.modeling.box_losses import BoxLoss, BoxTransform
from rankdet.modeling.box_predictor import check_num_classes, log_statistics
from rankdet.modeling.dense.assignment import (
    AnchorTargets,
    Assigner,
    OnImageAssigner,
    Positives,
    find_positives,
)
from rankdet.modeling.dense.candidates import Candidates, Pairs
from rankdet.modeling.dense.quality import Quality
from rankdet.modeling.padding import check_padding_divisor


class OneStageDetector(DenseDetector):
    """Detectron2's dense detector with everything that RetinaNet and FCOS fix as a part.

    The head is Detectron2's RetinaNetHead or FCOSHead, or another with ``cls_score`` as its last
    layer of classification: a list of features -> logits and deltas, lists over levels of
    ``(I, anchors of a cell * (L or 4), H, W)``, and with ``quality`` a third list (K = 1). L is the
    loss's number of logits: most losses have one per class, those with a background logit one more.

    Boxes are clipped to the image before non-maximum suppression and ``box_voting``, and those that
    have no area there are dropped. mmdetection 2 and PAA of mmdetection 3 keep these among the
    detections, where PAA's voting makes them NaN; no other box changes.

    Args:
        backbone: as in Detectron2. None: another model makes the features, and has this one as
            :class:`rankdet.modeling.detr.collaborative_heads.CollaborativeATSS`.
        head: see above.
        head_in_features: names of the feature maps, finest first.
        anchor_generator: as in Detectron2; FCOS has one square of the stride's size per location.
        box2box_transform: code of the boxes.
        assigner: labels the anchors.
        loss: of classification, and how boxes count in it; fixes the scores.
        box_loss: of single boxes.
        quality: meaning of the head's third output. None: it has none, and boxes are not weighted.
        num_classes: C; must be the loss's.
        prior_prob: probability of each class to start from.
        candidates: what goes on to non-maximum suppression. None: :class:`Pairs`.
        test_score_thresh: smallest score of a candidate; ``candidates`` says which score.
        test_topk_candidates: how many are kept per level before non-maximum suppression; of what,
            ``candidates`` says.
        test_nms_thresh: its IoU.
        max_detections_per_image: largest number of detections, LVIS: 300.
        padding_divisor: anchors over the padding of the batch are ignored, where an image has them
            up to a multiple of so many pixels; mmdetection: 32. None: they are trained.
        box_voting: (detections, candidates before suppression) -> detections with better boxes.
        pixel_mean: as in Detectron2.
        pixel_std: see there.

    Raises:
        ValueError: ``num_classes``, the loss, the anchors and the head's ``cls_score`` do not fit,
            ``prior_prob`` is no probability, or ``padding_divisor`` is not positive.
    """

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the injected parts)
        self,
        *,
        backbone: Backbone | None,
        head: nn.Module,
        head_in_features: list[str],
        anchor_generator: DefaultAnchorGenerator,
        box2box_transform: BoxTransform,
        assigner: Assigner,
        loss: HeadLoss,
        box_loss: BoxLoss,
        quality: Quality | None = None,
        num_classes: int,
        prior_prob: float = 0.01,
        candidates: Candidates | None = None,
        test_score_thresh: float = 0.05,
        test_topk_candidates: int = 1000,
        test_nms_thresh: float = 0.6,
        max_detections_per_image: int = 100,
        padding_divisor: int | None = None,
        box_voting: Callable[[Instances, Instances], Instances] | None = None,
        pixel_mean: list[float],
        pixel_std: list[float],
    ) -> None:
        check_num_classes(num_classes, loss)
        check_padding_divisor(padding_divisor)
        super().__init__(
            backbone, head, head_in_features, pixel_mean=pixel_mean, pixel_std=pixel_std
        )
        self.anchor_generator = anchor_generator
        self.num_cell_anchors = _num_cell_anchors(anchor_generator)
        _check_num_logits(head, self.num_cell_anchors, loss)
        self.box2box_transform = box2box_transform
        self.assigner = assigner
        self.loss = loss
        self.box_loss = box_loss
        self.quality = quality
        self.num_classes = num_classes
        self.candidates = candidates or Pairs()
        self.test_score_thresh = test_score_thresh
        self.test_topk_candidates = test_topk_candidates
        self.test_nms_thresh = test_nms_thresh
        self.max_detections_per_image = max_detections_per_image
        self.padding_divisor = padding_divisor
        self.padding_label = IGNORED
        self.box_voting = box_voting
        bias = loss.initial_logits(prior_prob).repeat(self.num_cell_anchors)
        head.get_parameter("cls_score.bias").data.copy_(bias)

    def forward_training(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: tuple[list[Tensor], ...],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """Label the anchors of I images and penalize the predictions; gives scalars to sum."""
        return self.train_anchors(features, predictions, gt_instances)[0]

    def train_anchors(
        self,
        features: list[Tensor],
        predictions: tuple[list[Tensor], ...],
        gt_instances: list[Instances],
    ) -> tuple[dict[str, Tensor], list[Boxes], AnchorTargets]:
        """Label the anchors, penalize the predictions, and say which anchor was to be what.

        Args:
            features: by level.
            predictions: of the head.
            gt_instances: of I images.

        Returns:
            Scalars to sum, the anchors of one image by level, and what those of all images were
            trained to be.
        """
        anchors = self.anchor_generator(features)
        logits, deltas, *others = [torch.cat(x, dim=1) for x in self._by_anchor(predictions)]
        learned = self.loss.learned_logits(logits.detach())
        targets = self._assign(anchors, gt_instances, learned, deltas.detach())
        positives = find_positives(targets, anchors, self.num_classes)
        if self.loss.training:
            self.loss.observe(logits.flatten(0, 1), targets.labels.flatten())
        losses = self.losses(targets.labels, positives, logits, deltas, *others)
        num_per_image = len(positives.images) / len(gt_instances)
        get_event_storage().put_scalar("num_pos_anchors", num_per_image)
        log_statistics(self.loss, "dense")
        return losses, anchors, targets

    def _assign(
        self, anchors: list[Boxes], gt_instances: list[Instances], logits: Tensor, deltas: Tensor
    ) -> AnchorTargets:
        assigner = self.assigner
        if self.padding_divisor is not None:
            padding = self.padding_divisor, self.padding_label
            assigner = OnImageAssigner(assigner, self.anchor_generator, *padding)
        return assigner(anchors, gt_instances, logits, deltas)

    def losses(
        self, labels: Tensor, positives: Positives, logits: Tensor, deltas: Tensor, *others: Tensor
    ) -> dict[str, Tensor]:
        """Penalize the predictions of labeled anchors.

        Args:
            labels: ``(I, A)`` in [0, C], C background, -1 ignored.
            positives: the F anchors that have an object.
            logits: ``(I, A, L)``.
            deltas: ``(I, A, 4)``.
            others: what else the head predicts, each ``(I, A, K)``; with ``quality`` its logits.

        Returns:
            Those of the loss, and ``loss_quality``.

        Raises:
            ValueError: the head has a third output and there is no ``quality``, or the reverse.
        """
        _check_num_outputs(self.quality, others)
        boxes = positives.anchors, positives.gt_boxes
        ious, box_losses = self.box_loss(positives.take(deltas), *boxes, self.box2box_transform)
        losses = {}
        if self.quality is not None:
            quality_logits = positives.take(others[0]).squeeze(1)
            weights, losses["loss_quality"] = self.quality(quality_logits, *boxes, ious)
            box_losses = weights * box_losses
        rows = logits.flatten(0, 1), labels.flatten()
        return {**self.loss.losses(*rows, ious, box_losses), **losses}

    def forward_inference(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: tuple[list[Tensor], ...],
    ) -> list[Instances]:
        """Detections of each image, by descending score.

        Args:
            images: I.
            features: by level.
            predictions: of the head.

        Returns:
            I ``Instances`` with ``pred_boxes``, ``scores`` and ``pred_classes``.
        """
        anchors = self.anchor_generator(features)
        by_anchor = self._by_anchor(predictions)
        return [
            self._detections(anchors, [[level[i] for level in x] for x in by_anchor], size)
            for i, size in enumerate(images.image_sizes)
        ]

    def _detections(
        self, anchors: list[Boxes], predictions: list[list[Tensor]], size: tuple[int, int]
    ) -> Instances:
        levels = zip(anchors, *predictions, strict=True)
        candidates = Instances.cat([self._candidates(size, *level) for level in levels])
        candidates = candidates[candidates.pred_boxes.nonempty()]
        boxes, classes = candidates.pred_boxes.tensor, candidates.pred_classes
        keep = batched_nms(boxes, candidates.scores, classes, self.test_nms_thresh)
        detections = candidates[keep[: self.max_detections_per_image]]
        return detections if self.box_voting is None else self.box_voting(detections, candidates)

    def _candidates(
        self, size: tuple[int, int], anchors: Boxes, logits: Tensor, deltas: Tensor, *others: Tensor
    ) -> Instances:
        """Boxes of one level inside the image, with class and score."""
        class_scores = self.loss.foreground_scores(logits.float())
        scores = class_scores
        if self.quality is not None:
            scores = self.quality.scores(class_scores, others[0])
        limits = self.test_score_thresh, self.test_topk_candidates
        indices, classes = self.candidates(class_scores, scores, *limits)
        code = deltas[indices].float(), anchors.tensor[indices]
        return Instances(
            size,
            pred_boxes=_clipped(self.box2box_transform.apply_deltas(*code), size),
            scores=scores[indices, classes],
            pred_classes=classes,
        )

    def _by_anchor(self, predictions: tuple[list[Tensor], ...]) -> list[list[Tensor]]:
        """Outputs of the head, each by level and ``(I, anchors of the level, K)``."""
        dims = [levels[0].shape[1] // self.num_cell_anchors for levels in predictions]
        by_anchor: list[list[Tensor]] = self._transpose_dense_predictions(predictions, dims)
        return by_anchor


def _clipped(boxes: Tensor, size: tuple[int, int]) -> Boxes:
    """Boxes cut off at the borders of an image of this height and width.

    Detectron2's ``clip`` waits for the device to see whether all are finite.
    """
    height, width = size
    x, y = boxes[:, 0::2].clamp(min=0, max=width), boxes[:, 1::2].clamp(min=0, max=height)
    return Boxes(torch.stack([x, y], dim=2).flatten(1))


def _num_cell_anchors(anchor_generator: DefaultAnchorGenerator) -> int:
    numbers = set(anchor_generator.num_anchors)
    if len(numbers) > 1:
        raise ValueError(
            f"anchor_generator has {anchor_generator.num_anchors} anchors per cell of its levels, "
            "but all levels share one head; give each level as many sizes."
        )
    number: int = numbers.pop()
    return number


def _check_num_logits(head: nn.Module, num_cell_anchors: int, loss: HeadLoss) -> None:
    num_outputs = len(head.get_parameter("cls_score.bias"))
    if num_outputs != num_cell_anchors * loss.num_logits:
        raise ValueError(
            f"head.cls_score has {num_outputs} outputs, but {num_cell_anchors} "
            f"anchors per cell with the {loss.num_logits} logits of {type(loss).__name__} need "
            f"{num_cell_anchors * loss.num_logits}; give the head the num_anchors of the detector "
            f"and num_classes={loss.num_logits}."
        )


def _check_num_outputs(quality: Quality | None, others: tuple[Tensor, ...]) -> None:
    if len(others) != (quality is not None):
        name = quality and type(quality).__name__
        raise ValueError(
            f"quality is {name}, but the head predicts {2 + len(others)} things; give a "
            "RetinaNetHead no quality and an FCOSHead what its third output means, Centerness() "
            "or PredictedIoU()."
        )
