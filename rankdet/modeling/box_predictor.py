"""Box predictor for Fast, Mask and Cascade R-CNN with an injected classification loss.

Shapes: N proposals of all images, C foreground classes, L logits (the loss says how many).
"""

from collections.abc import Callable

from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import (
    FastRCNNOutputLayers,
    _log_classification_stats,
)
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from rankdet.losses.calibration import Calibration
from rankdet.losses.classification import ClassificationLoss, HeadLoss
from rankdet.modeling.targets import num_proposals, roi_boxes, roi_targets

STATS_PERIOD = 20  # iterations; reading accuracies back costs a host sync


def linear_classifier(in_features: int, out_features: int) -> nn.Linear:
    """Detectron2's classifier: a linear layer that starts at N(0, 0.01) weights and no bias."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class BoxPredictor(FastRCNNOutputLayers):
    """Detectron2's predictor with classifier, activation and loss taken from ``loss``.

    Box regression, its losses and NMS are Detectron2's. As there, a cascade averages the scores of
    its stages (mmdetection, and so the ECM release, averages the logits).

    Args:
        input_shape: shape of the per-proposal feature.
        loss: classification loss; fixes the number of logits and the activation.
        num_classes: C; must be the loss's.
        box2box_transform: as in Detectron2.
        classifier: (in_features, out_features) -> initialised layer, for instance
            ``NormedLinear.with_temperature(20.0)``.
        prior_prob: probability of each foreground class to start from, for one-vs-all losses (see
            :meth:`HeadLoss.initial_logits`). None: the classifier's bias starts at 0.
        cls_agnostic_bbox_reg: one box per proposal instead of one per class.
        smooth_l1_beta: transition from L2 to L1, in units of the normalised deltas.
        box_reg_loss_type: as in Detectron2.
        loss_weight: weight of both losses, or a dict with "loss_cls" and "loss_box_reg".
        test_score_thresh: smallest score of a detection.
        test_nms_thresh: IoU of non-maximum suppression.
        test_topk_per_image: largest number of detections, LVIS: 300.
        calibration: corrects the scores of a trained model at test time. None: as trained.

    Raises:
        TypeError: the loss is not of :attr:`loss_type`.
        ValueError: ``num_classes`` differs from the loss's or the calibration's, or ``prior_prob``
            is no probability.
    """

    loss_type: type[HeadLoss] = ClassificationLoss
    """What :meth:`losses` can call."""

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the injected parts)
        self,
        input_shape: ShapeSpec,
        *,
        loss: HeadLoss,
        num_classes: int,
        box2box_transform: Box2BoxTransform,
        classifier: Callable[[int, int], nn.Module] = linear_classifier,
        prior_prob: float | None = None,
        cls_agnostic_bbox_reg: bool = False,
        smooth_l1_beta: float = 0.0,
        box_reg_loss_type: str = "smooth_l1",
        loss_weight: float | dict[str, float] = 1.0,
        test_score_thresh: float = 1e-4,
        test_nms_thresh: float = 0.5,
        test_topk_per_image: int = 300,
        calibration: Calibration | None = None,
    ) -> None:
        check_loss_type(loss, self)
        check_num_classes(num_classes, loss)
        _check_calibration(num_classes, calibration)
        super().__init__(
            input_shape,
            box2box_transform=box2box_transform,
            num_classes=num_classes,
            test_score_thresh=test_score_thresh,
            test_nms_thresh=test_nms_thresh,
            test_topk_per_image=test_topk_per_image,
            cls_agnostic_bbox_reg=cls_agnostic_bbox_reg,
            smooth_l1_beta=smooth_l1_beta,
            box_reg_loss_type=box_reg_loss_type,
            loss_weight=loss_weight,
        )
        self.loss = loss
        self.calibration = calibration or nn.Identity()
        self.cls_score = classifier(self.cls_score.in_features, loss.num_logits)
        if prior_prob is not None:
            self.cls_score.bias.data.copy_(loss.initial_logits(prior_prob))

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        """Classification and box regression loss.

        Args:
            predictions: logits ``(N, L)`` and box deltas ``(N, 4 or 4 C)``.
            proposals: sampled and labelled, one ``Instances`` per image.

        Returns:
            ``loss_cls`` and ``loss_box_reg``, weighted scalars.
        """
        logits, deltas = predictions
        labels, boxes, gt_boxes = roi_targets(proposals, logits.device)
        self.log_accuracy(logits, labels)
        losses = {
            "loss_cls": self.loss(logits, labels),
            "loss_box_reg": self.box_reg_loss(boxes, gt_boxes, deltas, labels),
        }
        log_statistics(self.loss, "roi_head")
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def log_accuracy(self, logits: Tensor, labels: Tensor) -> None:
        """Log Detectron2's accuracies now and then."""
        if get_event_storage().iter % STATS_PERIOD == 0:
            _log_classification_stats(self.loss.scores(logits.detach()), labels)

    def predict_probs(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, ...]:
        """Scores ``(R_i, C + 1)`` of the R_i proposals of each image, background last."""
        scores = self.calibration(self.loss.scores(predictions[0].float()))
        return scores.split(num_proposals(proposals))

    def predict_boxes(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, ...]:
        """Boxes ``(R_i, 4 or 4 C)`` of the R_i proposals of each image, pixels."""
        boxes = roi_boxes(proposals, predictions[1].device)
        predicted: Tensor = self.box2box_transform.apply_deltas(predictions[1], boxes)
        return predicted.split(num_proposals(proposals))


def check_loss_type(loss: nn.Module, head: nn.Module) -> None:
    """Raise TypeError unless the head can call the loss."""
    if not isinstance(loss, head.loss_type):
        raise TypeError(
            f"loss is a {type(loss).__name__}, but {type(head).__name__} takes a "
            f"{head.loss_type.__name__}; choose the head that fits the loss: RankingBoxPredictor "
            "and RankingRPN for ranking losses, BoxPredictor for the others, OneStageDetector for "
            "ranking and dense losses."
        )


def check_num_classes(num_classes: int, loss: HeadLoss) -> None:
    """Raise ValueError unless the loss was built for the head's number of classes."""
    if loss.num_classes != num_classes:
        raise ValueError(
            f"num_classes is {num_classes}, but the loss was built for {loss.num_classes} "
            "classes; count the classes of the data set that the model is trained on."
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
