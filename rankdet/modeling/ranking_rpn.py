"""Region proposal network with an injected ranking loss."""

import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes
from torch import Tensor, nn

from rankdet.losses.joint import IGNORED
from rankdet.losses.ranking import RankingLoss
from rankdet.modeling.box_predictor import check_loss_type, log_statistics
from rankdet.modeling.targets import box_quality

_NAMES = {
    "loss_rank": "loss_rpn_rank",
    "loss_sort": "loss_rpn_sort",
    "loss_cls": "loss_rpn_cls",
    "loss_box_reg": "loss_rpn_loc",
}


class RankingRPN(RPN):
    """Detectron2's RPN with all anchors of a process in one ranking, without sampling.

    Anchors that the matcher leaves undecided are ignored. Boxes are trained by GIoU on the decoded
    boxes.

    Source: the released RS code. It encodes boxes with standard deviations (.1, .1, .2, .2): give
    ``Box2BoxTransform(weights=(10, 10, 5, 5))``. aLRP uses ``iou_threshold=0.7`` here.

    Args:
        in_features: names of the feature maps.
        head: as in Detectron2, like all that is not described here.
        anchor_generator: likewise.
        anchor_matcher: likewise.
        box2box_transform: likewise.
        pre_nms_topk: likewise, for (training, test).
        post_nms_topk: likewise.
        loss: ranking loss of one class.
        loss_weight: weight of all parts of the loss.
        nms_thresh: IoU of non-maximum suppression.
        anchor_boundary_thresh: anchors further outside the image are ignored; -1: none are.

    Raises:
        TypeError: the loss is not a :class:`RankingLoss`.
        ValueError: the loss has more than one class.
    """

    loss_type = RankingLoss

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the loss)
        self,
        *,
        in_features: list[str],
        head: nn.Module,
        anchor_generator: DefaultAnchorGenerator,
        anchor_matcher: Matcher,
        box2box_transform: Box2BoxTransform,
        pre_nms_topk: tuple[int, int],
        post_nms_topk: tuple[int, int],
        loss: RankingLoss,
        loss_weight: float = 0.2,
        nms_thresh: float = 0.7,
        anchor_boundary_thresh: float = -1.0,
    ) -> None:
        check_loss_type(loss, self)
        if loss.num_classes != 1:
            raise ValueError(
                f"the loss has num_classes={loss.num_classes}, but an RPN tells objects from "
                "background only; build it with num_classes=1."
            )
        super().__init__(
            in_features=in_features,
            head=head,
            anchor_generator=anchor_generator,
            anchor_matcher=anchor_matcher,
            box2box_transform=box2box_transform,
            batch_size_per_image=0,  # nothing is sampled
            positive_fraction=0.0,
            pre_nms_topk=pre_nms_topk,
            post_nms_topk=post_nms_topk,
            nms_thresh=nms_thresh,
            anchor_boundary_thresh=anchor_boundary_thresh,
        )
        self.loss = loss
        self.loss_weight = loss_weight

    def _subsample_labels(self, label: Tensor) -> Tensor:
        return label

    def losses(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        gt_boxes: list[Tensor],
    ) -> dict[str, Tensor]:
        """Parts of the ranking loss over the A anchors of all L levels and I images.

        Args:
            anchors: L boxes.
            pred_objectness_logits: L logits ``(I, A_l)``.
            gt_labels: I labels ``(A,)``: 1 object, 0 background, -1 ignored.
            pred_anchor_deltas: L deltas ``(I, A_l, 4)``.
            gt_boxes: I ground truths ``(A, 4)``; those of background mean nothing.

        Returns:
            Weighted scalars, ``loss_rpn_loc`` (boxes) and ``loss_rpn_rank``, ``loss_rpn_sort`` or
            ``loss_rpn_cls``.
        """
        logits = torch.cat(pred_objectness_logits, dim=1)
        is_object = torch.stack(gt_labels).long()
        labels = torch.where(is_object < 0, IGNORED, 1 - is_object)  # The loss's class 0 is object.
        images, indices = (is_object == 1).nonzero(as_tuple=True)
        decoded = self.box2box_transform.apply_deltas(
            torch.cat(pred_anchor_deltas, dim=1)[images, indices],
            Boxes.cat(anchors).tensor[indices],
        )
        quality = box_quality(decoded, torch.stack(gt_boxes)[images, indices])
        losses = self.loss(logits.reshape(-1, 1), labels.flatten(), *quality)
        log_statistics(self.loss, "rpn")
        return {_NAMES[name]: loss * self.loss_weight for name, loss in losses.items()}
