"""Region proposal network whose losses are injected."""

from collections.abc import Callable

import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.memory import retry_if_cuda_oom
from torch import Tensor, nn

from rankdet.losses import IGNORED, HeadLoss
from rankdet.modeling.box_losses import BoxLoss, L1BoxLoss
from rankdet.modeling.box_predictor import log_statistics
from rankdet.modeling.padding import check_padding_divisor, is_on_image


class LossRPN(RPN):
    """Detectron2's RPN, trained by any loss of one class with one logit.

    All anchors of a process go to the loss, as ranking losses want it, unless
    ``batch_size_per_image`` says how many are sampled. Anchors that the matcher leaves undecided,
    and those that are not sampled, are ignored.

    Source: the released RS code for ranking losses. It has GIoU as ``box_loss``, 0.2 as
    ``loss_weight``, and encodes boxes with standard deviations (.1, .1, .2, .2): give
    ``Box2BoxTransform(weights=(10, 10, 5, 5))``. aLRP uses ``iou_threshold=0.7`` here.

    Args:
        in_features: names of the feature maps.
        head: as in Detectron2, like all that is not described here.
        anchor_generator: see there.
        anchor_matcher: see there, or ``BestAnchorMatcher`` with ``min_iou=0.3``, as in mmdetection.
        box2box_transform: see there.
        pre_nms_topk: see there, for (training, test).
        post_nms_topk: see there.
        loss: its one class is "object".
        box_loss: loss of single boxes. None: :class:`L1BoxLoss`.
        loss_weight: weight of all losses.
        batch_size_per_image: sampled anchors. None: all.
        positive_fraction: largest share of positives among sampled anchors.
        nms_thresh: IoU of non-maximum suppression.
        anchor_boundary_thresh: anchors further outside the image are ignored; -1: none are.
        padding_divisor: anchors over the padding of the batch are ignored, where an image has them
            up to a multiple of so many pixels; mmdetection: 32. None: they are trained.

    Raises:
        ValueError: the loss has more than one class or logit, no anchor is sampled, or
            ``padding_divisor`` is not positive.
    """

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the losses)
        self,
        *,
        in_features: list[str],
        head: nn.Module,
        anchor_generator: DefaultAnchorGenerator,
        anchor_matcher: Callable[[Tensor], tuple[Tensor, Tensor]],
        box2box_transform: Box2BoxTransform,
        pre_nms_topk: tuple[int, int],
        post_nms_topk: tuple[int, int],
        loss: HeadLoss,
        box_loss: BoxLoss | None = None,
        loss_weight: float = 1.0,
        batch_size_per_image: int | None = None,
        positive_fraction: float = 0.5,
        nms_thresh: float = 0.7,
        anchor_boundary_thresh: float = -1.0,
        padding_divisor: int | None = None,
    ) -> None:
        _check_loss(loss)
        check_padding_divisor(padding_divisor)
        if batch_size_per_image is not None and batch_size_per_image < 1:
            raise ValueError(
                f"batch_size_per_image is {batch_size_per_image}; sample at least one anchor, or "
                "give None for all."
            )
        super().__init__(
            in_features=in_features,
            head=head,
            anchor_generator=anchor_generator,
            anchor_matcher=anchor_matcher,
            box2box_transform=box2box_transform,
            batch_size_per_image=batch_size_per_image or 0,
            positive_fraction=positive_fraction,
            pre_nms_topk=pre_nms_topk,
            post_nms_topk=post_nms_topk,
            nms_thresh=nms_thresh,
            anchor_boundary_thresh=anchor_boundary_thresh,
        )
        self.loss = loss
        self.box_loss = box_loss or L1BoxLoss()
        self.loss_weight = loss_weight
        self.padding_divisor = padding_divisor

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Match the A anchors of each image to its objects.

        Anchors outside the image, by ``anchor_boundary_thresh`` and ``padding_divisor``, are not
        matched at all, as in mmdetection: an object has its best anchors among the others. In
        Detectron2 they are matched, and their labels are ignored then.

        Args:
            anchors: boxes by level.
            gt_instances: ``gt_boxes`` of I images.

        Returns:
            By image ``(A,)`` labels, 1 object, 0 background, -1 ignored, and ``(A, 4)`` boxes.
        """
        pairs = [self._label(anchors, gt.gt_boxes, gt.image_size) for gt in gt_instances]
        return [labels for labels, _ in pairs], [boxes for _, boxes in pairs]

    def _label(
        self, anchors: list[Boxes], gt_boxes: Boxes, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Labels and boxes of the anchors of one image."""
        all_anchors = Boxes.cat(anchors)
        is_matched = self._is_matched(anchors, image_size)
        ious = retry_if_cuda_oom(pairwise_iou)(gt_boxes, all_anchors[is_matched])
        matches, kinds = (
            x.to(gt_boxes.device) for x in retry_if_cuda_oom(self.anchor_matcher)(ious)
        )
        labels = kinds.new_full((len(all_anchors),), -1)
        labels[is_matched] = kinds
        boxes = torch.zeros_like(all_anchors.tensor)
        if len(gt_boxes):
            boxes[is_matched] = gt_boxes.tensor[matches]
        return self._subsample_labels(labels), boxes

    def _is_matched(self, anchors: list[Boxes], image_size: tuple[int, int]) -> Tensor:
        """Which anchors an image may give to its objects, ``(A,)``."""
        all_anchors = Boxes.cat(anchors)
        is_matched = torch.ones(len(all_anchors), dtype=torch.bool, device=all_anchors.device)
        if self.padding_divisor is not None:
            is_matched &= is_on_image(
                anchors, self.anchor_generator, image_size, self.padding_divisor
            )
        if self.anchor_boundary_thresh >= 0:
            is_matched &= all_anchors.inside_box(image_size, self.anchor_boundary_thresh)
        return is_matched

    def _subsample_labels(self, label: Tensor) -> Tensor:
        if not self.batch_size_per_image:
            return label
        sampled: Tensor = super()._subsample_labels(label)
        return sampled

    def losses(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        gt_boxes: list[Tensor],
    ) -> dict[str, Tensor]:
        """Losses over the A anchors of all levels and I images.

        Args:
            anchors: boxes by level.
            pred_objectness_logits: ``(I, A_l)`` by level.
            gt_labels: ``(A,)`` by image: 1 object, 0 background, -1 ignored.
            pred_anchor_deltas: ``(I, A_l, 4)`` by level.
            gt_boxes: ``(A, 4)`` by image; those of background mean nothing.

        Returns:
            Weighted scalars, ``loss_rpn_loc`` (boxes) and ``loss_rpn_rank``, ``loss_rpn_cls`` ...
        """
        logits = torch.cat(pred_objectness_logits, dim=1).reshape(-1, 1)
        is_object = torch.stack(gt_labels).long()
        # The loss's class 0 is object.
        labels = torch.where(is_object < 0, IGNORED, 1 - is_object).flatten()
        images, indices = (is_object == 1).nonzero(as_tuple=True)
        boxes = self.box_loss(
            torch.cat(pred_anchor_deltas, dim=1)[images, indices],
            Boxes.cat(anchors).tensor[indices],
            torch.stack(gt_boxes)[images, indices],
            self.box2box_transform,
        )
        if self.loss.training:
            self.loss.observe(logits, labels)
        losses = self.loss.losses(logits, labels, *boxes)
        log_statistics(self.loss, "rpn")
        return {_rpn_name(name): loss * self.loss_weight for name, loss in losses.items()}


def _rpn_name(name: str) -> str:
    """``loss_cls`` to ``loss_rpn_cls``; boxes have Detectron2's name."""
    return "loss_rpn_loc" if name == "loss_box_reg" else name.replace("loss_", "loss_rpn_", 1)


def _check_loss(loss: HeadLoss) -> None:
    if (loss.num_classes, loss.num_logits) != (1, 1):
        raise ValueError(
            f"the loss has num_classes={loss.num_classes} and {loss.num_logits} logits, but an RPN "
            "tells objects from background by one logit; give it a loss without a background "
            "logit, such as SigmoidBCELoss, FocalLoss or RankSortLoss, with num_classes=1."
        )
