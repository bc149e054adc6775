"""Normalized discounted cumulative gain as a ranking loss (aLRP paper, appendix D)."""

import math

import torch
from torch import Tensor

from rankdet.losses._error_driven import positive_ranks, rank, safe_divide
from rankdet.losses._inputs import check_range
from rankdet.losses._pair_sums import ALGORITHMS
from rankdet.losses.ranking import RankingLoss, ranking_inputs, weighted_mean


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
        logits: ``(L,)``, images, anchors and classes of a process in one ranking.
        targets: ``(L,)``: > 0 positive, 0 negative, < 0 ignored.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        algorithm: "exact" (about one sort) or "pairwise" (the definition).

    Returns:
        Scalar in [0, 1); 0 and connected to the graph without positives, NaN if a logit is not
        finite.

    Raises:
        ValueError: see :func:`rankdet.losses._error_driven.rank`.

    Example:
        >>> logits = torch.tensor([2.0, 1.0], requires_grad=True)
        >>> loss = ndcg_loss(logits, torch.tensor([0.0, 1.0]), delta=0.0)
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(0.3691, grad_fn=<UnbindBackward0>) tensor([ 0.3691, -0.3691])
    """
    r = rank(logits, targets, delta, algorithm, ALGORITHMS)
    rank_pos = positive_ranks(r, delta)
    num_fp = r.sums.false_positives()
    # 1/log2(1+a) - 1/log2(1+a+f), written so that few false positives lose no digits.
    lost_log = torch.log1p(num_fp / (1 + rank_pos)) / math.log(2)
    lost_gain = lost_log / (torch.log2(1 + rank_pos) * torch.log2(1 + rank_pos + num_fp))
    places = torch.arange(2, r.num_pos + 2, dtype=torch.float64, device=num_fp.device)
    gradient = lost_gain / places.log2().reciprocal().sum()
    negatives = r.sums.spread(safe_divide(gradient, num_fp))
    return r.scalars([gradient.sum()], [-gradient], [negatives])[0]


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

    def losses(
        self, logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.losses`: ``loss_rank`` and ``loss_box_reg``."""
        x = ranking_inputs(logits, labels, ious, box_losses, self.num_classes)
        ranking = ndcg_loss(x.logits, x.targets, delta=self.delta, algorithm=self.algorithm)
        box_loss = self.box_weight * weighted_mean(box_losses, x.weights)
        return {"loss_rank": ranking, "loss_box_reg": box_loss + x.guard}
