"""Heads that Co-DETR trains on the encoder's maps: one-to-many assignment for encoder and decoder.

Letters: B images, D channels.
"""

from abc import ABC, abstractmethod

import torch
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rankdet.losses import IGNORED
from rankdet.losses._inputs import check_range
from rankdet.modeling.dense.detector import OneStageDetector
from rankdet.modeling.detr.auxiliary_queries import AuxiliaryPositives
from rankdet.modeling.rpn import LossRPN


class CollaborativeHead(nn.Module, ABC):
    """A detector without backbone, whose positives become queries of the decoder.

    Args:
        num_classes: C.
        loss_weight: factor of all its losses, >= 0.

    Raises:
        ValueError: ``loss_weight`` is negative or not finite.
    """

    def __init__(self, num_classes: int, loss_weight: float) -> None:
        super().__init__()
        check_range("loss_weight", loss_weight, 0)
        self.num_classes = num_classes
        self.loss_weight = loss_weight

    @abstractmethod
    def forward(
        self, images: ImageList, maps: list[Tensor], gt_instances: list[Instances]
    ) -> tuple[dict[str, Tensor], AuxiliaryPositives]:
        """Train.

        Args:
            images: B.
            maps: levels ``(B, D, H, W)``, finest first.
            gt_instances: of the B images.

        Returns:
            Weighted scalars to sum, and the rows that the head has trained.
        """

    @abstractmethod
    def inference(self, images: ImageList, maps: list[Tensor]) -> list[Instances]:
        """Detections of each of B images, by descending score; see :meth:`forward`."""

    def _weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.loss_weight * loss for name, loss in losses.items()}


class CollaborativeATSS(CollaborativeHead):
    """ATSS, or another one-stage detector, on the encoder's maps.

    All its anchors may become queries; the feature of an anchor is that of its cell.

    Source: Co-DETR and BRS-DETR as released: ATSS with one convolution per branch. Co-DETR weighs
    its losses by 12, six layers times a lambda of 2; BRS-DETR by 5, and has no centerness.

    Args:
        detector: without backbone.
        loss_weight: factor of all its losses, >= 0.

    Raises:
        ValueError: ``loss_weight`` is negative or not finite.
    """

    def __init__(self, detector: OneStageDetector, *, loss_weight: float = 12.0) -> None:
        super().__init__(detector.num_classes, loss_weight)
        self.detector = detector

    def forward(
        self, images: ImageList, maps: list[Tensor], gt_instances: list[Instances]
    ) -> tuple[dict[str, Tensor], AuxiliaryPositives]:
        """See :meth:`CollaborativeHead.forward`."""
        predictions = self.detector.head(maps)
        losses, anchors, targets = self.detector.train_anchors(maps, predictions, gt_instances)
        positives = AuxiliaryPositives(
            boxes=Boxes.cat(anchors).tensor.expand_as(targets.gt_boxes),
            labels=targets.labels,
            gt_boxes=targets.gt_boxes,
            features=torch.cat([level.flatten(2) for level in maps], dim=2).transpose(1, 2),
        )
        return self._weighted(losses), positives

    def inference(self, images: ImageList, maps: list[Tensor]) -> list[Instances]:
        """See :meth:`CollaborativeHead.inference`."""
        return self.detector.forward_inference(images, maps, self.detector.head(maps))


class CollaborativeRCNN(CollaborativeHead):
    """Faster R-CNN with its RPN on the encoder's maps.

    The proposals that the RoI heads train may become queries, ground truth among them where the RoI
    heads add it; the feature of a proposal is the mean of its pooled RoI. Proposals are constants.

    Source: Co-DETR as released, with weight 12; BRS-DETR's has 5, and 1 for its RPN. In the release
    all images of a batch are cut to the smallest number of proposals of an image, and BRS-DETR's
    has no ground truth among them.

    Args:
        proposal_generator: its ``in_features`` name the maps, finest first.
        roi_heads: of boxes alone, with a :class:`rankdet.modeling.box_predictor.BoxPredictor`; its
            ``box_in_features`` are some of them.
        loss_weight: factor of all losses, >= 0, on top of those of the parts.

    Raises:
        ValueError: the RoI heads have a mask or keypoint head or predict in several steps, or
            ``loss_weight`` is negative or not finite.
    """

    def __init__(
        self,
        proposal_generator: LossRPN,
        roi_heads: StandardROIHeads,
        *,
        loss_weight: float = 12.0,
    ) -> None:
        super().__init__(roi_heads.num_classes, loss_weight)
        _check_roi_heads(roi_heads)
        self.proposal_generator = proposal_generator
        self.roi_heads = roi_heads

    def forward(
        self, images: ImageList, maps: list[Tensor], gt_instances: list[Instances]
    ) -> tuple[dict[str, Tensor], AuxiliaryPositives]:
        """See :meth:`CollaborativeHead.forward`."""
        features = self._named(maps)
        proposals, rpn_losses = self.proposal_generator(images, features, gt_instances)
        labeled = self.roi_heads.label_and_sample_proposals(proposals, gt_instances)
        pooled = self._pool(features, labeled)
        predictor = self.roi_heads.box_predictor
        losses = predictor.losses(predictor(self.roi_heads.box_head(pooled)), labeled)
        return self._weighted({**rpn_losses, **losses}), _positives(labeled, pooled.mean((2, 3)))

    def inference(self, images: ImageList, maps: list[Tensor]) -> list[Instances]:
        """See :meth:`CollaborativeHead.inference`."""
        features = self._named(maps)
        proposals, _ = self.proposal_generator(images, features)
        detections: list[Instances] = self.roi_heads(images, features, proposals)[0]
        return detections

    def _named(self, maps: list[Tensor]) -> dict[str, Tensor]:
        return dict(zip(self.proposal_generator.in_features, maps, strict=True))

    def _pool(self, features: dict[str, Tensor], proposals: list[Instances]) -> Tensor:
        """Features ``(N, D, height, width)`` of the N proposals of all images."""
        levels = [features[name] for name in self.roi_heads.box_in_features]
        pooled: Tensor = self.roi_heads.box_pooler(levels, [x.proposal_boxes for x in proposals])
        return pooled


class CollaborativeHeads(nn.ModuleDict):
    """Heads by the names that they have in a config; the keywords are the names.

    A config has ``heads=L(CollaborativeHeads)(atss=L(CollaborativeATSS)(...), ...)``, as parts
    inside a plain dictionary are never built.

    Args:
        heads: by name.
    """

    def __init__(self, **heads: CollaborativeHead) -> None:
        super().__init__(heads)


def _check_roi_heads(roi_heads: StandardROIHeads) -> None:
    if roi_heads.mask_on or roi_heads.keypoint_on:
        raise ValueError(
            "roi_heads has a mask or keypoint head, which collaborative heads do not train; give "
            "it boxes alone."
        )
    # Cascades and recurrent heads: they would train as one step, and detect as several.
    if type(roi_heads)._forward_box is not StandardROIHeads._forward_box:
        raise ValueError(
            f"roi_heads is {type(roi_heads).__name__}, which predicts boxes in a way of its own, "
            "but a collaborative head trains one step; give StandardROIHeads or UnsampledROIHeads."
        )


def _positives(proposals: list[Instances], features: Tensor) -> AuxiliaryPositives:
    """Stack labeled proposals of all images; the shorter are filled up with ignored ones."""
    by_image = features.split([len(image) for image in proposals])
    labels = [image.gt_classes for image in proposals]
    # An image without ground truth has no gt_boxes; its proposals are background.
    gt_boxes = [x.gt_boxes if x.has("gt_boxes") else x.proposal_boxes for x in proposals]
    return AuxiliaryPositives(
        boxes=pad_sequence([x.proposal_boxes.tensor for x in proposals], batch_first=True),
        labels=pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        gt_boxes=pad_sequence([boxes.tensor for boxes in gt_boxes], batch_first=True),
        features=pad_sequence(list(by_image), batch_first=True),
    )
