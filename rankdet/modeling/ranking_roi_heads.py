"""RoI heads that rank all proposals: Faster, Mask and Cascade R-CNN without sampling."""

import torch
from detectron2.modeling.roi_heads import CascadeROIHeads, StandardROIHeads
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from rankdet.losses.ranking import RankingLoss
from rankdet.modeling.ranking_box_predictor import RankingBoxPredictor

Losses = dict[str, Tensor]


class _RankingHeads:
    """What ranking adds to Detectron2's RoI heads: all proposals, and a balanced mask loss."""

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
        loss = ranking_loss_of(self.box_predictor)
        instances, losses = super().forward(images, features, proposals, targets)
        if "loss_mask" in losses:
            own = {name.removesuffix("_stage0"): value for name, value in losses.items()}
            losses["loss_mask"] = loss.balance(losses["loss_mask"], own)
        return instances, losses


class RankingROIHeads(_RankingHeads, StandardROIHeads):
    """Detectron2's heads with all proposals in the ranking, and masks balanced against it.

    ``batch_size_per_image`` and ``positive_fraction`` of the parent are not used. Ground-truth
    boxes are added to the proposals as there. ``box_predictor`` is a
    :class:`rankdet.modeling.ranking_box_predictor.RankingBoxPredictor`; any mask head will do, and
    its loss goes through :meth:`rankdet.losses.ranking.RankingLoss.balance`.
    """


class RankingCascadeROIHeads(_RankingHeads, CascadeROIHeads):
    """Detectron2's cascade with all proposals in the ranking of each stage.

    Each stage has its own loss, with its own state. ``batch_size_per_image`` and
    ``positive_fraction`` of the parent are not used. Detectron2 has one mask head for all stages,
    which sees the proposals of stage 0: so its weights are the scores of stage 0, and its loss is
    balanced against stage 0's (the RS release has a mask head per stage). Detectron2 scales the
    gradient of the pooled features by 1 / stages, too.
    """


def label_all_proposals(
    matched_idxs: Tensor, matched_labels: Tensor, gt_classes: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Label proposals as Detectron2 does, and keep all but the ignored ones.

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


def ranking_loss_of(box_predictor: nn.Module) -> RankingLoss:
    """Give the loss of a predictor, or say that the heads need another predictor.

    Args:
        box_predictor: predictor of RoI heads, or those of all stages.

    Returns:
        The ranking loss, of the first stage.

    Raises:
        TypeError: it is not a :class:`RankingBoxPredictor`.
    """
    if isinstance(box_predictor, nn.ModuleList):
        box_predictor = box_predictor[0]
    if not isinstance(box_predictor, RankingBoxPredictor):
        raise TypeError(
            f"box_predictor is a {type(box_predictor).__name__}, but these RoI heads rank all "
            "proposals; give them a RankingBoxPredictor, or use Detectron2's RoI heads."
        )
    return box_predictor.loss
