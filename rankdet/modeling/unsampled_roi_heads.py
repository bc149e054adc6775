"""RoI heads that train on all proposals: Faster, Mask and Cascade R-CNN without sampling."""

import torch
from detectron2.modeling.roi_heads import CascadeROIHeads, StandardROIHeads
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from rankdet.losses.base import HeadLoss

Losses = dict[str, Tensor]


class _Unsampled:
    """What is added to Detectron2's RoI heads: all proposals, and a balanced mask loss."""

    num_classes: int
    box_predictor: nn.Module

    def _sample_proposals(
        self, matched_idxs: Tensor, matched_labels: Tensor, gt_classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        return label_all_proposals(matched_idxs, matched_labels, gt_classes, self.num_classes)

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], Losses]:
        """As Detectron2's, with a balanced ``loss_mask``."""
        loss = _first_loss(self.box_predictor)
        instances, losses = super().forward(images, features, proposals, targets)  # type: ignore[misc]
        if "loss_mask" in losses:
            own = {name.removesuffix("_stage0"): value for name, value in losses.items()}
            losses["loss_mask"] = loss.balance(losses["loss_mask"], own)
        return instances, losses


class UnsampledROIHeads(_Unsampled, StandardROIHeads):
    """Detectron2's heads on all proposals, with the mask loss weighed by ``loss.balance``.

    Ranking losses want this: one ranking of all proposals of a process. ``batch_size_per_image``
    and ``positive_fraction`` of the parent are not used. Ground-truth boxes are added to the
    proposals as there. ``box_predictor`` is a :class:`rankdet.modeling.box_predictor.BoxPredictor`
    of any loss; any mask head fits, and its loss goes through
    :meth:`rankdet.losses.base.HeadLoss.balance`.
    """


class UnsampledCascadeROIHeads(_Unsampled, CascadeROIHeads):
    """Detectron2's cascade on all proposals in each stage.

    Each stage has its own loss, with its own state. ``batch_size_per_image`` and
    ``positive_fraction`` of the parent are not used. Detectron2 has one mask head for all stages,
    which sees the proposals of stage 0: so its weights are the scores of stage 0, and its loss is
    balanced against stage 0's. It adds ground truth in stage 0 alone and scales the gradient of the
    pooled features by 1 / stages. The cascade of the RS and BRS releases is
    :class:`rankdet.modeling.cascade_heads.CascadeHeads`.
    """


def label_all_proposals(
    matched_idxs: Tensor, matched_labels: Tensor, gt_classes: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Label proposals as Detectron2 does, and keep all except the ignored ones.

    Args:
        matched_idxs: ``(N,)`` index of the best ground truth.
        matched_labels: ``(N,)`` the matcher's label: 1 matched, 0 not, -1 ignored.
        gt_classes: ``(G,)`` classes of the ground truth, G >= 0.
        num_classes: C, the label of background.

    Returns:
        ``(K,)`` indices of the kept proposals and ``(K,)`` their labels in [0, C].
    """
    labels = torch.full_like(matched_idxs, num_classes)
    if len(gt_classes):
        labels = torch.where(matched_labels == 1, gt_classes[matched_idxs], labels)
    kept = (matched_labels != -1).nonzero().squeeze(1)
    return kept, labels[kept]


def _first_loss(box_predictor: nn.Module) -> HeadLoss:
    """Loss of a predictor, or of the first stage's; TypeError if it is not of this package."""
    first = box_predictor[0] if isinstance(box_predictor, nn.ModuleList) else box_predictor
    loss = getattr(first, "loss", None)
    if not isinstance(loss, HeadLoss):
        raise TypeError(
            f"box_predictor is a {type(first).__name__} without a loss that can balance masks; "
            "give these RoI heads a rankdet.modeling.box_predictor.BoxPredictor."
        )
    return loss
