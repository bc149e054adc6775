"""Normalized discounted cumulative gain as a ranking loss (aLRP paper, appendix D)."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from rankdet.losses._error_driven import Ranking, positive_ranks, rank, safe_divide
from rankdet.losses._inputs import check_range
from rankdet.losses._pair_sums import ALGORITHMS
from rankdet.losses._pair_sums.groups import in_groups
from rankdet.losses._pair_sums.positives import prefix_sums
from rankdet.losses.ranking import RankingInputs, RankingLoss, weighted_mean


def ndcg_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 1.0, algorithm: str = "exact"
) -> Tensor:
    """Penalize every positive by the gain that negatives above it cost.

    Loss: sum over positives i of (G*_i - G_i) / G_max with the gain G_i = 1 / log2(1 + rank_i), the
    gain without negatives G*_i = 1 / log2(1 + rank+_i) and G_max = sum of 1 / log2(1 + i) over
    i = 1 ... P; ranks as in :func:`rankdet.losses.ap.ap_loss`. With the hard step and without ties
    this is 1 - NDCG. The gradient is error-driven: positive i gets minus its term, negative j the
    shares H(n_j - p_i) / FP_i of it.

    Source: aLRP appendix D, corrected in three places: the printed G_max lacks the reciprocal, so
    that a perfect ranking would cost 0.63; the printed update has the wrong sign; and the printed
    target, rank 1 for every positive, cannot be reached by more than one.

    Args:
        logits: ``(L,)``, images, anchors and classes of a process in one ranking; or ``(G, L)``, G
            rankings that do not see each other.
        targets: the same shape: > 0 positive, 0 negative, < 0 ignored.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        algorithm: "exact" (about one sort) or "pairwise" (the definition).

    Returns:
        Scalar, or ``(G,)``, in [0, 1); 0 and connected to the graph without positives, NaN if a
        logit of the ranking is not finite.

    Raises:
        ValueError: see :func:`rankdet.losses._error_driven.rank`.

    Example:
        >>> logits = torch.tensor([2.0, 1.0], requires_grad=True)
        >>> loss = ndcg_loss(logits, torch.tensor([0.0, 1.0]), delta=0.0)
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(0.3691, grad_fn=<UnbindBackward0>) tensor([ 0.3691, -0.3691])
    """
    loss = partial(_ndcg_loss, delta=delta, algorithm=algorithm)
    return in_groups(loss, logits, targets)[0]


def _ndcg_loss(
    logits: Tensor, targets: Tensor, *, delta: float, algorithm: str
) -> Sequence[Tensor]:
    r = rank(logits, targets, delta, algorithm, ALGORITHMS)
    rank_pos = positive_ranks(r, delta)
    num_fp = r.sums.false_positives()
    # 1/log2(1+a) - 1/log2(1+a+f), written so that few false positives lose no digits.
    lost_log = torch.log1p(num_fp / (1 + rank_pos)) / math.log(2)
    lost_gain = lost_log / (torch.log2(1 + rank_pos) * torch.log2(1 + rank_pos + num_fp))
    gradient = lost_gain / _largest_gains(r)
    negatives = r.sums.spread(safe_divide(gradient, num_fp))
    return r.scalars([gradient], [-gradient], [negatives])


def _largest_gains(r: Ranking) -> Tensor:
    """G_max of the ranking of each positive; it depends on their number alone."""
    ranks = torch.arange(r.of_pos.width, dtype=torch.float64, device=r.pos.device) + 1
    return prefix_sums(1 / torch.log2(1 + ranks))[r.num_pos]


class NDCGLoss(RankingLoss):
    """Module of :func:`ndcg_loss` with the box loss of :class:`rankdet.losses.ap.APLoss`.

    Args:
        num_classes: C, number of foreground classes.
        delta: see :func:`ndcg_loss`.
        algorithm: see there.
        box_weight: weight of the box loss, >= 0.

    Raises:
        ValueError: a setting is out of its range.
    """

    algorithms = ALGORITHMS

    def __init__(
        self,
        num_classes: int,
        *,
        delta: float = 1.0,
        algorithm: str = "exact",
        box_weight: float = 2.0,
    ) -> None:
        super().__init__(num_classes, delta=delta, algorithm=algorithm)
        check_range("box_weight", box_weight, 0)
        self.box_weight = box_weight

    def rank(self, x: RankingInputs, box_losses: Tensor) -> dict[str, Tensor]:
        """See :meth:`RankingLoss.rank`: ``loss_rank`` and ``loss_box_reg``."""
        ranking = ndcg_loss(x.logits, x.targets, delta=self.delta, algorithm=self.algorithm)
        box_loss = self.box_weight * weighted_mean(box_losses, x.weights)
        return {"loss_rank": ranking, "loss_box_reg": box_loss + x.guard}
