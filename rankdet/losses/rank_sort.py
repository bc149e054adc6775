"""Rank & Sort Loss (Oksuz et al., ICCV 2021) and its bucketed form BRS (Yavuz et al., 2024)."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rankdet.losses._error_driven import rank, safe_divide
from rankdet.losses._pair_sums import ALL_ALGORITHMS
from rankdet.losses._pair_sums.groups import in_groups
from rankdet.losses.ranking import RankingInputs, RankingLoss, scale_to, weighted_mean

_NOTHING_TO_SORT = 1e-10  # As released; smaller sums of H are round-off.


class RankSortLosses(NamedTuple):
    """The two parts of RS Loss; their sum is the loss.

    Attributes:
        ranking: in [0, 1], positives above negatives.
        sorting: in [0, 1], positives by their IoU.
    """

    ranking: Tensor
    sorting: Tensor


def rank_sort_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 0.5, algorithm: str = "exact"
) -> RankSortLosses:
    """Rank positives above negatives, and sort positives by the IoU of their boxes.

    With y the IoU labels, rank+_i = sum of H(p_j - p_i) over positives, i itself adding H(0) (1/2,
    or 1 for delta = 0), and FP_i = sum of H(n_j - p_i) over negatives:

    - ranking: mean of FP_i / (rank+_i + FP_i); gradient as AP Loss.
    - sorting: mean over i of the average of 1 - y_j, weighted by H(p_j - p_i), over all positives,
      minus the same average over positives with y_j >= y_i only (the error that cannot be avoided).
      Gradient: minus that difference on i, and the shares H(p_k - p_i) / sum of them on positives k
      with y_k < y_i; divided by P.

    Source: bucketed_ranking eqs. S.2 - S.6 and the released RS code. "bucketed" is BRS as released:
    each run of negatives between two positives counts as so many negatives at its mean (a negative
    that ties with a positive belongs to the run above); it equals RS for delta = 0 only. The
    released code ignores the weight of the second scalar; here each has its own gradient.

    Args:
        logits: ``(L,)``, images, proposals and classes of a process in one ranking; or ``(G, L)``,
            G rankings that do not see each other.
        targets: the same shape: IoU in (0, 1] of a positive's decoded box, 0 negative, < 0 ignored.
            A positive whose IoU is 0 needs a tiny positive label.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        algorithm: "exact" (a few sorts at most), "pairwise" (the definition) or "bucketed" (BRS).

    Returns:
        Both parts, scalars or ``(G,)``, each with its own gradient; 0 and connected to the graph
        without positives, NaN if a logit of the ranking is not finite.

    Raises:
        ValueError: see :func:`rankdet.losses._error_driven.rank`.

    Example:
        >>> logits = torch.tensor([2.0, 1.0, 0.0], requires_grad=True)
        >>> ranking, sorting = rank_sort_loss(logits, torch.tensor([0.0, 0.5, 1.0]), delta=0.0)
        >>> (ranking + sorting).backward()
        >>> print(f"{ranking.item():.4f} {sorting.item():.4f}", logits.grad)
        0.4167 0.1250 tensor([ 0.4167, -0.1250, -0.2917])
    """
    loss = partial(_rank_sort_loss, delta=delta, algorithm=algorithm)
    return RankSortLosses(*in_groups(loss, logits, targets))


def _rank_sort_loss(
    logits: Tensor, targets: Tensor, *, delta: float, algorithm: str
) -> Sequence[Tensor]:
    r = rank(logits, targets, delta, algorithm, ALL_ALGORITHMS)
    by_label = r.sums.by_label(r.labels)
    weights = torch.stack([torch.ones_like(r.labels), 1 - r.labels])
    rank_pos, error_sum = r.sums.above(weights)
    target_rank, target_sum = by_label.above(weights)

    num_fp = r.sums.false_positives()
    ranking = num_fp / (rank_pos + num_fp) / r.num_pos
    sorting = (error_sum / rank_pos - target_sum / target_rank) / r.num_pos

    num_lower = rank_pos - target_rank
    moved = torch.where(num_lower > _NOTHING_TO_SORT, sorting, 0.0)
    pushed_up = by_label.below(safe_divide(moved, num_lower, _NOTHING_TO_SORT))
    negatives = r.sums.spread(safe_divide(ranking, num_fp))
    return r.scalars([ranking, sorting], [-ranking, pushed_up - moved], [negatives])


class RankSortLoss(RankingLoss):
    """Module of :func:`rank_sort_loss` with score-weighted, self-balanced box loss.

    The box loss, the mean of the GIoU losses weighted by :func:`score_weights`, is scaled to the
    value of ranking + sorting in every iteration; so is any further task (:meth:`balance`). A
    constant weight on either therefore has no effect.

    Source: the released RS code; bucketed_ranking appendix S.1.2. In BRS-DETR's release all boxes
    count alike.

    Args:
        num_classes: C, number of foreground classes.
        delta: see :func:`rank_sort_loss`.
        algorithm: see there; "bucketed" is BRS.
        score_weighted_boxes: whether the mean of box losses is weighted by scores.
    """

    algorithms = ALL_ALGORITHMS

    def __init__(
        self,
        num_classes: int,
        *,
        delta: float = 0.5,
        algorithm: str = "exact",
        score_weighted_boxes: bool = True,
    ) -> None:
        super().__init__(num_classes, delta=delta, algorithm=algorithm)
        self.score_weighted_boxes = score_weighted_boxes

    def rank(self, x: RankingInputs, box_losses: Tensor) -> dict[str, Tensor]:
        """See :meth:`RankingLoss.rank`: ``loss_rank``, ``loss_sort`` and ``loss_box_reg``."""
        ranking, sorting = rank_sort_loss(
            x.logits, x.targets, delta=self.delta, algorithm=self.algorithm
        )
        losses = {"loss_rank": ranking, "loss_sort": sorting}
        weights = x.weights if self.score_weighted_boxes else torch.ones_like(x.weights)
        box_loss = self.balance(weighted_mean(box_losses, weights), losses)
        return {**losses, "loss_box_reg": box_loss + x.guard}

    def balance(self, task_loss: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """Scale the loss to the value of ranking + sorting; see :func:`scale_to`."""
        return scale_to(task_loss, losses["loss_rank"] + losses["loss_sort"])
