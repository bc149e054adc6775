"""Average Precision Loss (Chen et al., 2019) and its bucketed form BAP (Yavuz et al., 2024)."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from rankdet.losses._error_driven import Ranking, positive_ranks, rank, safe_divide
from rankdet.losses._inputs import check_range
from rankdet.losses._pair_sums import ALL_ALGORITHMS
from rankdet.losses._pair_sums.groups import in_groups
from rankdet.losses._pair_sums.interface import step_at_zero
from rankdet.losses.ranking import RankingInputs, RankingLoss, weighted_mean


def ap_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    delta: float = 1.0,
    interpolate: bool = False,
    algorithm: str = "exact",
) -> Tensor:
    """Penalize every positive by its precision error: the share of negatives ranked above it.

    Loss: mean over positives i of FP_i / (rank+_i + FP_i), with FP_i = sum of H(n_j - p_i) over
    negatives and rank+_i = 1 + sum of H(p_j - p_i) over the other positives. The gradient is
    error-driven: -error_i / P on positive i, and error_i H(n_j - p_i) / FP_i / P on negative j.

    Source: bucketed_ranking eqs. 3, 4 and S.1; the released AP Loss keeps n >= min(p) - delta, too.
    "bucketed" is BAP as released: each run of negatives between two positives counts as so many
    negatives at its mean (a negative that ties with a positive belongs to the run above), and i
    itself adds H(0) to rank+_i (1/2, or 1 for delta = 0) instead of 1. BAP equals AP for delta
    = 0 only (Theorem 4.1; with this rule also where logits tie); it is here for comparison.

    Args:
        logits: ``(L,)``, images, anchors and classes of a process in one ranking; or ``(G, L)``, G
            rankings that do not see each other.
        targets: the same shape: > 0 positive, 0 negative, < 0 ignored.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        interpolate: use the largest precision of all positives that do not score higher, as the
            released AP Loss does. The papers' formula, and BAP, do not.
        algorithm: "exact" (about one sort), "pairwise" (the definition) or "bucketed" (BAP).

    Returns:
        Scalar, or ``(G,)``, in [0, 1]; 0 and connected to the graph without positives, NaN if a
        logit of the ranking is not finite.

    Raises:
        ValueError: see :func:`rankdet.losses._error_driven.rank`, or BAP with ``interpolate``.

    Example:
        >>> logits = torch.tensor([2.0, 1.0, -1.0], requires_grad=True)
        >>> loss = ap_loss(logits, torch.tensor([0.0, 1.0, 0.0]), delta=0.0)
        >>> loss.backward()
        >>> print(loss.item(), logits.grad.tolist())
        0.5 [0.5, -0.5, 0.0]
    """
    _check_interpolation(interpolate, algorithm)
    loss = partial(_ap_loss, delta=delta, interpolate=interpolate, algorithm=algorithm)
    return in_groups(loss, logits, targets)[0]


def _ap_loss(
    logits: Tensor, targets: Tensor, *, delta: float, interpolate: bool, algorithm: str
) -> Sequence[Tensor]:
    r = rank(logits, targets, delta, algorithm, ALL_ALGORITHMS)
    self_term = step_at_zero(delta) if algorithm == "bucketed" else 1.0
    rank_pos = positive_ranks(r, delta, self_term)
    num_fp = r.sums.false_positives()
    error = num_fp / (rank_pos + num_fp)
    if interpolate:
        error = _interpolated(error, r)
    gradient = error / r.num_pos
    negatives = r.sums.spread(safe_divide(gradient, num_fp))
    return r.scalars([gradient], [-gradient], [negatives])


def _interpolated(error: Tensor, r: Ranking) -> Tensor:
    """Smallest error of the positives that do not score higher."""
    order = r.of_pos.pad(r.positives, math.inf).argsort()
    errors = r.of_pos.pad(error)
    best = errors.gather(1, order).cummin(dim=1).values
    return r.of_pos.unpad(torch.empty_like(errors).scatter_(1, order, best))


def _check_interpolation(interpolate: bool, algorithm: str) -> None:
    if interpolate and algorithm == "bucketed":
        raise ValueError("interpolate is True, but BAP is not interpolated; use algorithm='exact'.")


class APLoss(RankingLoss):
    """Module of :func:`ap_loss` with a mean box loss of constant weight.

    Source: AP Loss on ATSS in the release of the bucketed losses, where the mean is weighted by
    scores, and on RetinaNet in the release of aLRP, where all boxes count alike. Nothing is
    self-balanced in either.

    Args:
        num_classes: C, number of foreground classes.
        delta: see :func:`ap_loss`.
        interpolate: see there.
        algorithm: see there; "bucketed" is BAP.
        box_weight: weight of the box loss, >= 0.
        score_weighted_boxes: whether the mean of box losses is weighted by scores.

    Raises:
        ValueError: a setting is out of its range; see also :func:`ap_loss`.
    """

    algorithms = ALL_ALGORITHMS

    def __init__(
        self,
        num_classes: int,
        *,
        delta: float = 1.0,
        interpolate: bool = False,
        algorithm: str = "exact",
        box_weight: float = 2.0,
        score_weighted_boxes: bool = True,
    ) -> None:
        super().__init__(num_classes, delta=delta, algorithm=algorithm)
        _check_interpolation(interpolate, algorithm)
        self.interpolate = interpolate
        check_range("box_weight", box_weight, 0)
        self.box_weight = box_weight
        self.score_weighted_boxes = score_weighted_boxes

    def rank(self, x: RankingInputs, box_losses: Tensor) -> dict[str, Tensor]:
        """See :meth:`RankingLoss.rank`: ``loss_rank`` and ``loss_box_reg``."""
        ranking = ap_loss(
            x.logits,
            x.targets,
            delta=self.delta,
            interpolate=self.interpolate,
            algorithm=self.algorithm,
        )
        weights = x.weights if self.score_weighted_boxes else torch.ones_like(x.weights)
        box_loss = self.box_weight * weighted_mean(box_losses, weights)
        return {"loss_rank": ranking, "loss_box_reg": box_loss + x.guard}
