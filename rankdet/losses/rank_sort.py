"""Rank & Sort Loss (Oksuz et al., ICCV 2021) and its bucketed form BRS (Yavuz et al., 2024)."""

from typing import NamedTuple

import torch
from torch import Tensor

from rankdet.losses._algorithms import ALL_ALGORITHMS
from rankdet.losses._ranking import rank, safe_divide

_NOTHING_TO_SORT = 1e-10  # As released; smaller sums of H are round-off.


class RankSortLosses(NamedTuple):
    """The two parts of RS Loss; their sum is the loss.

    Attributes:
        ranking: scalar in [0, 1], positives above negatives.
        sorting: scalar in [0, 1], positives by their IoU.
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
    that ties with a positive belongs to the run above); it equals RS only for delta = 0 and without
    ties. The released code ignores the weight of the second scalar; here each has its own gradient.

    Args:
        logits: ``(L,)``, all images, proposals and classes in one ranking.
        targets: ``(L,)``: IoU in (0, 1] of a positive's decoded box, 0 negative, < 0 ignored. A
            positive whose IoU is 0 needs a tiny positive label.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        algorithm: "exact" (a few sorts at most), "pairwise" (the definition) or "bucketed" (BRS).

    Returns:
        Both parts, each with its own gradient; 0 and connected to the graph without positives, NaN
        if a logit is not finite.

    Raises:
        ValueError: see :func:`rankdet.losses._ranking.rank`.
    """
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
    return RankSortLosses(
        *r.scalars([ranking.sum(), sorting.sum()], [-ranking, pushed_up - moved], [negatives])
    )
