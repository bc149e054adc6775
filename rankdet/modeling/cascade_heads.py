"""Cascade R-CNN's heads as the releases of the losses have them (mmdetection's).

Shapes: N proposals of all images, L logits.
"""

from collections.abc import Sequence

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import StandardROIHeads, select_foreground_proposals
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.unsampled_roi_heads import Losses, label_all_proposals

Predictions = tuple[Tensor, Tensor]  # Logits (N, L) and box deltas (N, 4).


class CascadeHeads(StandardROIHeads):
    """A cascade in which each stage has its own samples and masks, and logits are averaged.

    Each stage adds the ground truth to its proposals, labels and samples them, trains its box and
    mask heads on them, and hands their refined boxes on, without those of the added ground truth.
    Detections have the last stage's boxes, and the scores (the last loss's and calibration's) of
    the logits' mean over the stages. Their masks are the mean of the stages' masks. A mask loss is
    weighed by :meth:`rankdet.losses.base.HeadLoss.balance` against the losses of its stage.

    Detectron2's ``CascadeROIHeads`` differs: it samples and adds ground truth for the first stage
    only, drops empty boxes, has one mask head, which sees the first stage's proposals, averages
    scores, and scales the gradient of the pooled features by 1 / stages. For all proposals in
    Detectron2's way see :class:`rankdet.modeling.unsampled_roi_heads.UnsampledCascadeROIHeads`.

    Source: mmdetection's cascade, in the ECM, RS and BRS releases. Stage weights (1, .5, .25; RS:
    1) are ``loss_weight`` of predictors and mask heads. In RS and BRS nothing is sampled.

    Args:
        box_in_features: as in Detectron2.
        box_pooler: see there.
        box_heads: see there, one for each stage.
        box_predictors: of any loss, with one box for all classes.
        proposal_matchers: label the proposals of each stage.
        num_classes: as in Detectron2.
        batch_size_per_image: proposals that are sampled in each stage. None: all.
        positive_fraction: largest share of foreground among sampled proposals.
        mask_in_features: as in Detectron2. None: no masks.
        mask_pooler: see there.
        mask_heads: one for each stage.

    Raises:
        ValueError: the stages do not fit together, nothing is sampled, masks lack a part, or a
            stage other than the last has a calibration.
        TypeError: a predictor is no :class:`rankdet.modeling.box_predictor.BoxPredictor`.
    """

    def __init__(  # noqa: PLR0913  (Detectron2's constructor)
        self,
        *,
        box_in_features: list[str],
        box_pooler: ROIPooler,
        box_heads: Sequence[nn.Module],
        box_predictors: Sequence[BoxPredictor],
        proposal_matchers: Sequence[Matcher],
        num_classes: int,
        batch_size_per_image: int | None = None,
        positive_fraction: float = 0.25,
        mask_in_features: list[str] | None = None,
        mask_pooler: ROIPooler | None = None,
        mask_heads: Sequence[nn.Module] | None = None,
    ) -> None:
        _check_sample(batch_size_per_image)
        if mask_in_features is not None:
            _check_masks(mask_pooler=mask_pooler, mask_heads=mask_heads)
        _check_stages(
            box_predictors,
            box_heads=box_heads,
            proposal_matchers=proposal_matchers,
            mask_heads=box_heads if mask_heads is None else mask_heads,
        )
        super().__init__(
            box_in_features=box_in_features,
            box_pooler=box_pooler,
            box_head=nn.ModuleList(box_heads),
            box_predictor=nn.ModuleList(box_predictors),
            proposal_matcher=proposal_matchers[0],
            num_classes=num_classes,
            batch_size_per_image=batch_size_per_image or 0,
            positive_fraction=positive_fraction,
            proposal_append_gt=False,  # _label does it in each stage.
            mask_in_features=mask_in_features,
            mask_pooler=mask_pooler,
            mask_head=nn.ModuleList(mask_heads or []),
        )
        self.proposal_matchers = list(proposal_matchers)

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], Losses]:
        """As Detectron2's: in training the losses, named ``loss_cls_stage0`` ..., else detections.

        Args:
            images: not needed.
            features: by name.
            proposals: of each image, with ``proposal_boxes``.
            targets: ground truth of each image; training needs it.

        Returns:
            Labeled proposals of the last stage and the losses of all stages; or detections, and no
            losses.

        Raises:
            ValueError: there is no ground truth in training.
        """
        del images
        if self.training:
            if targets is None:
                raise ValueError("targets is None; give the ground truth of each image to train.")
            return self._train_stages(features, proposals, targets)
        detections: list[Instances] = self.forward_with_given_boxes(
            features, self._forward_box(features, proposals)
        )
        return detections, {}

    def _train_stages(
        self, features: dict[str, Tensor], proposals: list[Instances], targets: list[Instances]
    ) -> tuple[list[Instances], Losses]:
        losses: Losses = {}
        for stage in range(len(self.box_predictor)):
            with get_event_storage().name_scope(f"stage{stage}"):
                proposals = self._label(stage, proposals, targets)
                refined, of_stage = self._train_stage(stage, features, proposals)
            losses |= {f"{name}_stage{stage}": value for name, value in of_stage.items()}
            if stage < len(self.box_predictor) - 1:
                proposals = refined
        return proposals, losses

    def _train_stage(
        self, stage: int, features: dict[str, Tensor], proposals: list[Instances]
    ) -> tuple[list[Instances], Losses]:
        """Refined proposals, and losses, of the labeled proposals of a stage."""
        predictor = self.box_predictor[stage]
        predictions = self._predict(stage, features, proposals)
        losses = predictor.losses(predictions, proposals)
        losses |= self._mask_losses(stage, features, proposals, losses)
        return _refined(predictions, predictor, proposals), losses

    def _label(
        self, stage: int, proposals: list[Instances], targets: list[Instances]
    ) -> list[Instances]:
        """Add ground truth, label and sample as Detectron2 does, by the matcher of the stage."""
        self.proposal_matcher = self.proposal_matchers[stage]  # What the line below asks.
        labeled: list[Instances] = self.label_and_sample_proposals(
            [_with_ground_truth(*image) for image in zip(proposals, targets, strict=True)], targets
        )
        return labeled

    def _sample_proposals(
        self, matched_idxs: Tensor, matched_labels: Tensor, gt_classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        if not self.batch_size_per_image:
            return label_all_proposals(matched_idxs, matched_labels, gt_classes, self.num_classes)
        sampled: tuple[Tensor, Tensor] = super()._sample_proposals(
            matched_idxs, matched_labels, gt_classes
        )
        return sampled

    def _predict(
        self, stage: int, features: dict[str, Tensor], proposals: list[Instances]
    ) -> Predictions:
        levels = [features[name] for name in self.box_in_features]
        pooled = self.box_pooler(levels, [image.proposal_boxes for image in proposals])
        predictions: Predictions = self.box_predictor[stage](self.box_head[stage](pooled))
        return predictions

    def _mask_losses(
        self, stage: int, features: dict[str, Tensor], proposals: list[Instances], losses: Losses
    ) -> Losses:
        """The balanced loss of the masks of a stage's foreground; empty without masks."""
        if not self.mask_on:
            return {}
        foreground, _ = select_foreground_proposals(proposals, self.num_classes)
        pooled = self._pool_masks(features, [image.proposal_boxes for image in foreground])
        of_masks = self.mask_head[stage](pooled, foreground)
        loss = self.box_predictor[stage].loss
        return {name: loss.balance(value, losses) for name, value in of_masks.items()}

    def _pool_masks(self, features: dict[str, Tensor], boxes: list[Boxes]) -> Tensor:
        pooled: Tensor = self.mask_pooler([features[x] for x in self.mask_in_features], boxes)
        return pooled

    def _forward_box(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> list[Instances]:
        """Detections, from the mean of the stages' logits."""
        stages = [self._predict(0, features, proposals)]
        for stage, previous in enumerate(self.box_predictor[:-1], start=1):
            proposals = _refined(stages[-1], previous, proposals)
            stages.append(self._predict(stage, features, proposals))
        logits = torch.stack([of_stage for of_stage, _ in stages]).mean(dim=0)
        detections: list[Instances] = self.box_predictor[-1].inference(
            (logits, stages[-1][1]), proposals
        )[0]
        return detections

    def _forward_mask(
        self, features: dict[str, Tensor], instances: list[Instances]
    ) -> list[Instances]:
        """Give detections the mean of the stages' ``pred_masks``, probabilities."""
        if not self.mask_on:
            return instances
        pooled = self._pool_masks(features, [image.pred_boxes for image in instances])
        stages = [
            [image.pred_masks for image in mask_head(pooled, instances)]
            for mask_head in self.mask_head
        ]
        for image, masks in zip(instances, zip(*stages, strict=True), strict=True):
            image.pred_masks = torch.stack(masks).mean(dim=0)
        return instances


def _with_ground_truth(proposals: Instances, targets: Instances) -> Instances:
    """Proposals of an image, and behind them its objects, marked by ``is_added``."""
    boxes = Boxes.cat([proposals.proposal_boxes, targets.gt_boxes])
    is_added = torch.arange(len(boxes), device=boxes.device) >= len(proposals)
    return Instances(proposals.image_size, proposal_boxes=boxes, is_added=is_added)


def _refined(
    predictions: Predictions, predictor: BoxPredictor, proposals: list[Instances]
) -> list[Instances]:
    """Proposals of the next stage: the predicted boxes, without those of added ground truth."""
    refined = []
    for image, boxes in zip(
        proposals, predictor.predict_boxes(predictions, proposals), strict=True
    ):
        if image.has("is_added"):
            boxes = boxes[~image.is_added]
        proposal_boxes = Boxes(boxes.detach())
        proposal_boxes.clip(image.image_size)
        refined.append(Instances(image.image_size, proposal_boxes=proposal_boxes))
    return refined


def _check_sample(batch_size_per_image: int | None) -> None:
    if batch_size_per_image is not None and batch_size_per_image < 1:
        raise ValueError(
            f"batch_size_per_image is {batch_size_per_image}; sample at least one proposal, or "
            "give None for all."
        )


def _check_masks(**parts: object) -> None:
    for name, part in parts.items():
        if part is None:
            raise ValueError(f"{name} is None; give it, or mask_in_features=None for no masks.")


def _check_stages(predictors: Sequence[BoxPredictor], **parts: Sequence[object]) -> None:
    """Raise an error unless all stages have their parts and predictions of one shape."""
    for name, of_stages in parts.items():
        if len(of_stages) != len(predictors) or not len(predictors):
            raise ValueError(
                f"{name} has {len(of_stages)} stages, box_predictors {len(predictors)}; give one "
                "for each stage."
            )
    for stage, predictor in enumerate(predictors):
        if not isinstance(predictor, BoxPredictor):
            raise TypeError(
                f"box_predictors.{stage} is a {type(predictor).__name__}; CascadeHeads averages "
                "logits, so give it a rankdet.modeling.box_predictor.BoxPredictor."
            )
        _check_stage(stage, predictor, predictors[-1])


def _check_stage(stage: int, predictor: BoxPredictor, last: BoxPredictor) -> None:
    if predictor.loss.num_logits != last.loss.num_logits:
        raise ValueError(
            f"the loss of box_predictors.{stage} has {predictor.loss.num_logits} logits, that of "
            f"the last stage {last.loss.num_logits}; give all stages the same kind of loss."
        )
    if predictor.bbox_pred.out_features != 4:
        raise ValueError(
            f"box_predictors.{stage} predicts boxes per class, of which the next stage could not "
            "choose; set its cls_agnostic_bbox_reg=True."
        )
    if predictor is not last and not isinstance(predictor.calibration, nn.Identity):
        raise ValueError(
            f"box_predictors.{stage} has a calibration, which would not be used; give it to the "
            "last stage, whose scores are those of the averaged logits."
        )
