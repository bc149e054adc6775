"""Average Localisation-Recall-Precision Loss (Oksuz et al., NeurIPS 2020), cited as "aLRP"."""

from typing import NamedTuple

import torch
from torch import Tensor

from rankdet.losses._algorithms import ALGORITHMS
from rankdet.losses._ranking import Ranking, rank, safe_divide, step_at_zero
from rankdet.losses.ap import positive_ranks

_FEW_FALSE_POSITIVES = 1e-5  # As released: below, the localisation error moves no logit.


class ALRPLosses(NamedTuple):
    """The two parts of aLRP Loss; their sum is the loss.

    Attributes:
        classification: scalar, mean of FP_i / rank_i.
        localization: scalar, mean of the localisation errors ranked at or above i over rank_i.
    """

    classification: Tensor
    localization: Tensor


def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    loc_errors: Tensor,
    *,
    delta: float = 1.0,
    algorithm: str = "exact",
) -> ALRPLosses:
    """Penalise every positive by false positives and bad boxes that are ranked above it.

    Loss: mean over positives i of (FP_i + sum of E_k over positives with s_k >= s_i) / rank_i, with
    rank_i = 1 + FP_i + sum of H(p_j - p_i) over the other positives. As released, the sum of E uses
    the hard step (i itself and tied positives count), the ranks use the smoothed one.

    Gradient with respect to E: derived, ranks held fixed. With respect to logits: error-driven. The
    classification part is AP Loss's, -FP_i / rank_i on i; the localisation part puts
    -(sum of H(p_k - p_i) E_k over the others) / rank_i on positives i with FP_i > 1e-5. Both go to
    the negatives by the shares H(n_j - p_i) / FP_i; all is divided by P. The released code applies
    the limit 1e-5 to the classification part, too, which is continuous at 0 without it.

    Source: aLRP eqs. 9 - 14.

    Args:
        logits: ``(L,)``, all images, anchors and classes in one ranking.
        targets: ``(L,)``: > 0 positive, 0 negative, < 0 ignored.
        loc_errors: ``(P,)`` E = (1 - IoU) / (1 - 0.5) of the positives in the order of ``targets``,
            in [0, 1]; with GIoU, as released, they may be larger.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        algorithm: "exact" (about one sort) or "pairwise" (the definition).

    Returns:
        Both parts, each with its own gradient; 0 and connected to the graph without positives, NaN
        if a logit is not finite.

    Raises:
        ValueError: see :func:`rankdet.losses._ranking.rank`, or not one error per positive.
    """
    r = rank(logits, targets, delta, algorithm, ALGORITHMS)
    _check_errors(loc_errors, len(r.pos))
    num_fp = r.sums.false_positives()
    ranks = positive_ranks(r, delta) + num_fp
    classification = num_fp / ranks / r.num_pos
    errors = loc_errors.detach().double()
    others = r.sums.above(errors) - step_at_zero(delta) * errors
    ranked_higher = torch.where(num_fp > _FEW_FALSE_POSITIVES, others / ranks / r.num_pos, 0.0)
    cls_scalar, loc_scalar = r.scalars(
        [classification.sum(), classification.sum() * 0.0],
        [-classification, -ranked_higher],
        [r.sums.spread(safe_divide(x, num_fp)) for x in (classification, ranked_higher)],
    )
    weights = _weights_of_errors(r, ranks)
    wide_errors = loc_errors.to(r.logits.dtype)
    return ALRPLosses(cls_scalar, loc_scalar + (weights.to(r.logits.dtype) * wide_errors).sum())


def _weights_of_errors(r: Ranking, ranks: Tensor) -> Tensor:
    """How much E_k counts: sum of 1 / (P rank_i) over positives i with s_i <= s_k; ``(P,)``."""
    positives = r.logits.detach()[r.pos]
    ascending, order = positives.sort()
    sums = (1 / (ranks[order] * r.num_pos)).cumsum(dim=0)
    last_tied = torch.searchsorted(ascending, positives, right=True) - 1
    # NaN sorts beyond the end; the result is NaN anyway.
    return sums[last_tied]


def _check_errors(loc_errors: Tensor, num_pos: int) -> None:
    if loc_errors.shape != (num_pos,):
        raise ValueError(
            f"loc_errors must have shape ({num_pos},), one per positive of targets, got "
            f"{tuple(loc_errors.shape)}; pass (1 - IoU) / 0.5 of the positives in their order."
        )
