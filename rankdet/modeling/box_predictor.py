"""Box predictor for Fast, Mask and Cascade R-CNN whose losses are injected.

Letters: N proposals of all images, C foreground classes, L logits (the loss says how many), F
foreground proposals.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import (
    FastRCNNOutputLayers,
    _log_classification_stats,
)
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from rankdet.losses.base import HeadLoss
from rankdet.modeling.box_losses import BoxLoss, L1BoxLoss
from rankdet.modeling.calibration import Calibration

STATS_PERIOD = 20  # iterations; reading accuracies back costs a host sync


def linear_classifier(in_features: int, out_features: int) -> nn.Linear:
    """Detectron2's classifier: a linear layer that starts at N(0, 0.01) weights and no bias."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class RoITargets(NamedTuple):
    """What a loss is asked about besides the logits.

    Attributes:
        labels: ``(N,)`` int64 in [0, C]; C is background, -1 ignored.
        ious: ``(F,)`` IoU of each foreground proposal's decoded box and its ground truth.
        box_losses: ``(F,)`` losses of the same boxes.
    """

    labels: Tensor
    ious: Tensor
    box_losses: Tensor


class BoxPredictor(FastRCNNOutputLayers):
    """Detectron2's predictor with classifier, activation and losses taken from ``loss``.

    Box deltas and NMS are Detectron2's. In a cascade,
    :class:`rankdet.modeling.cascade_heads.CascadeHeads` asks the last stage's for the scores of the
    stages' mean logits; Detectron2's cascade averages the scores of the stages. Ranking losses want
    all proposals, unsampled: see :class:`rankdet.modeling.unsampled_roi_heads.UnsampledROIHeads`.

    Args:
        input_shape: shape of the per-proposal feature.
        loss: fixes the number of logits and the activation.
        num_classes: C; must be the loss's.
        box2box_transform: as in Detectron2.
        box_loss: loss of single boxes. None: :class:`L1BoxLoss`.
        classifier: (in_features, out_features) -> initialized layer, for instance
            ``NormedLinear.with_temperature(20.0)``.
        prior_prob: probability of each foreground class to start from, for one-vs-all losses (see
            :meth:`HeadLoss.initial_logits`). None: the classifier's bias starts at 0.
        cls_agnostic_bbox_reg: one box per proposal instead of one per class.
        loss_weight: weight of all losses.
        test_score_thresh: smallest score of a detection. Ranking losses score high, so that small
            thresholds leave NMS much to do; the RS release has 0.4 for COCO and 0.6 for LVIS.
        test_nms_thresh: IoU of non-maximum suppression.
        test_topk_per_image: largest number of detections, LVIS: 300.
        calibration: corrects the scores of a trained model at test time. None: as trained.

    Raises:
        ValueError: ``num_classes`` differs from the loss's or the calibration's, ``prior_prob`` is
            no probability, or ``loss_weight`` no number.
    """

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the injected parts)
        self,
        input_shape: ShapeSpec,
        *,
        loss: HeadLoss,
        num_classes: int,
        box2box_transform: Box2BoxTransform,
        box_loss: BoxLoss | None = None,
        classifier: Callable[[int, int], nn.Module] = linear_classifier,
        prior_prob: float | None = None,
        cls_agnostic_bbox_reg: bool = False,
        loss_weight: float = 1.0,
        test_score_thresh: float = 1e-4,
        test_nms_thresh: float = 0.5,
        test_topk_per_image: int = 300,
        calibration: Calibration | None = None,
    ) -> None:
        check_num_classes(num_classes, loss)
        _check_calibration(num_classes, calibration)
        if not isinstance(loss_weight, int | float):
            raise ValueError(f"loss_weight is {loss_weight}; give one number for all losses.")
        super().__init__(
            input_shape,
            box2box_transform=box2box_transform,
            num_classes=num_classes,
            test_score_thresh=test_score_thresh,
            test_nms_thresh=test_nms_thresh,
            test_topk_per_image=test_topk_per_image,
            cls_agnostic_bbox_reg=cls_agnostic_bbox_reg,
        )
        self.loss = loss
        self.box_loss = box_loss or L1BoxLoss()
        self.loss_weight = loss_weight
        self.calibration = calibration or nn.Identity()
        self.cls_score: nn.Module = classifier(self.bbox_pred.in_features, loss.num_logits)
        if prior_prob is not None:
            self.cls_score.bias.data.copy_(loss.initial_logits(prior_prob))  # type: ignore[operator]

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        """Losses of classes and boxes; leaves ``score_weights`` in the proposals for a mask head.

        Args:
            predictions: logits ``(N, L)`` and box deltas ``(N, 4 or 4 C)``.
            proposals: labeled, one ``Instances`` per image.

        Returns:
            Weighted scalars, ``loss_box_reg`` and those of the loss.
        """
        logits, deltas = predictions
        targets = self.targets(deltas, proposals)
        if self.loss.training:
            self.loss.observe(logits, targets.labels)
        losses = self.loss.losses(logits, *targets)
        self.report(logits, targets.labels, proposals)
        return {name: loss * self.loss_weight for name, loss in losses.items()}

    def targets(self, deltas: Tensor, proposals: list[Instances]) -> RoITargets:
        """Labels of the N proposals, and how well the boxes of the foreground fit.

        Args:
            deltas: ``(N, 4 or 4 C)``.
            proposals: of each image; there may be no image, as in Detectron2's heads.
        """
        if not proposals:
            nothing = deltas.sum(dim=1)
            return RoITargets(nothing.long(), nothing.detach(), nothing)
        labels = torch.cat([image.gt_classes for image in proposals])
        # An image without ground truth has no gt_boxes; its proposals are background.
        gt_boxes = torch.cat(
            [(x.gt_boxes if x.has("gt_boxes") else x.proposal_boxes).tensor for x in proposals]
        )
        rows = ((labels >= 0) & (labels < self.num_classes)).nonzero().squeeze(1)
        boxes = self.box_loss(
            _deltas_of_classes(deltas[rows], labels[rows]),
            roi_boxes(proposals, deltas.device)[rows],
            gt_boxes[rows],
            self.box2box_transform,
        )
        return RoITargets(labels, *boxes)

    def report(self, logits: Tensor, labels: Tensor, proposals: list[Instances]) -> None:
        """Leave ``score_weights`` in the proposals; log accuracies and statistics now and then.

        Args:
            logits: ``(N, L)``.
            labels: ``(N,)``.
            proposals: of each image. ``score_weights`` are the largest foreground scores.
        """
        wide = logits.detach() if logits.dtype == torch.float64 else logits.detach().float()
        weights = self.loss.foreground_scores(wide).amax(dim=1).split(num_proposals(proposals))
        for image, image_weights in zip(proposals, weights, strict=True):
            image.score_weights = image_weights
        if get_event_storage().iter % STATS_PERIOD == 0:
            _log_classification_stats(self.loss.scores(wide), labels)
        log_statistics(self.loss, "roi_head")

    def predict_probs(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, ...]:
        """Scores ``(R_i, C + 1)`` of the R_i proposals of each image, background last."""
        scores: Tensor = self.calibration(self.loss.scores(predictions[0].float()))
        by_image: tuple[Tensor, ...] = scores.split(num_proposals(proposals))
        return by_image

    def predict_boxes(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, ...]:
        """Boxes ``(R_i, 4 or 4 C)`` of the R_i proposals of each image, pixels."""
        boxes = roi_boxes(proposals, predictions[1].device)
        predicted = self.box2box_transform.apply_deltas(predictions[1], boxes)
        by_image: tuple[Tensor, ...] = predicted.split(num_proposals(proposals))
        return by_image


def roi_boxes(proposals: list[Instances], device: torch.device) -> Tensor:
    """Boxes ``(N, 4)`` of the proposals of all images, of which there may be none."""
    return torch.cat(
        [torch.zeros(0, 4, device=device), *(image.proposal_boxes.tensor for image in proposals)]
    )


def num_proposals(proposals: list[Instances]) -> list[int]:
    """Number of proposals of each image, which a trace follows; ``len`` would be a constant."""
    return [image.proposal_boxes.tensor.shape[0] for image in proposals]


def _deltas_of_classes(deltas: Tensor, labels: Tensor) -> Tensor:
    """Take ``(F, 4)`` out of ``(F, 4)`` or ``(F, 4 C)`` deltas."""
    per_class: Tensor = deltas.unflatten(1, (-1, 4))
    if per_class.shape[1] == 1:
        return per_class[:, 0]
    return per_class[torch.arange(len(labels), device=labels.device), labels]


def check_num_classes(num_classes: int, loss: HeadLoss) -> None:
    """Raise ValueError unless the loss was built for the head's number of classes."""
    if loss.num_classes != num_classes:
        raise ValueError(
            f"num_classes is {num_classes}, but the loss was built for {loss.num_classes} "
            f"classes; set model.roi_heads.num_classes={loss.num_classes} (one-stage and "
            "transformer detectors: model.num_classes), or count the classes of the data set that "
            "the model is trained on."
        )


def _check_calibration(num_classes: int, calibration: Calibration | None) -> None:
    if calibration is not None and calibration.num_classes != num_classes:
        raise ValueError(
            f"num_classes is {num_classes}, but the calibration was made for "
            f"{calibration.num_classes} classes; collect its statistics with this model."
        )


def log_statistics(loss: HeadLoss, prefix: str) -> None:
    """Log now and then what a loss tells about itself."""
    storage = get_event_storage()
    if storage.iter % STATS_PERIOD == 0:
        for name, value in loss.statistics().items():
            storage.put_scalar(f"{prefix}/{name}", value.item())
