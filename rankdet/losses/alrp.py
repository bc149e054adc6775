"""Average Localization-Recall-Precision Loss (Oksuz et al., NeurIPS 2020), cited as "aLRP"."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rankdet.losses._distributed import mean_over_ranks_
from rankdet.losses._error_driven import Ranking, positive_ranks, rank, safe_divide
from rankdet.losses._inputs import check_epoch_length, check_range
from rankdet.losses._pair_sums import ALGORITHMS
from rankdet.losses._pair_sums.groups import in_groups
from rankdet.losses._pair_sums.interface import step_at_zero
from rankdet.losses.epochs import EpochLoss
from rankdet.losses.ranking import RankingInputs, RankingLoss

_FEW_FALSE_POSITIVES = 1e-5  # As released: below, the localization error moves no logit.


class ALRPLosses(NamedTuple):
    """The two parts of aLRP Loss; their sum is the loss.

    Attributes:
        classification: mean of FP_i / rank_i.
        localization: mean of the localization errors ranked at or above i over rank_i.
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
    """Penalize every positive by false positives and bad boxes that are ranked above it.

    Loss: mean over positives i of (FP_i + sum of E_k over positives with s_k >= s_i) / rank_i, with
    rank_i = 1 + FP_i + sum of H(p_j - p_i) over the other positives. As released, the sum of E uses
    the hard step (i itself and tied positives count), the ranks use the smoothed one.

    Gradient with respect to E: derived, ranks held fixed. With respect to logits: error-driven. The
    classification part is AP Loss's, -FP_i / rank_i on i; the localization part puts
    -(sum of H(p_k - p_i) E_k over the others) / rank_i on positives i with FP_i > 1e-5. Both go to
    the negatives by the shares H(n_j - p_i) / FP_i; all is divided by P. The released code applies
    the limit 1e-5 to the classification part, too, which is continuous at 0 without it.

    Source: aLRP eqs. 9 - 14.

    Args:
        logits: ``(L,)``, images, anchors and classes of a process in one ranking; or ``(G, L)``, G
            rankings that do not see each other.
        targets: the same shape: > 0 positive, 0 negative, < 0 ignored.
        loc_errors: ``(P,)`` E = (1 - IoU) / (1 - 0.5) of the positives of all rankings in the order
            of ``targets``, row by row, in [0, 1]; with GIoU, as released, they may be larger.
        delta: half width of the step, logits; 0 is the hard step with H(0) = 1.
        algorithm: "exact" (about one sort) or "pairwise" (the definition).

    Returns:
        Both parts, scalars or ``(G,)``, each with its own gradient; 0 and connected to the graph
        without positives, NaN if a logit of the ranking is not finite.

    Raises:
        ValueError: see :func:`rankdet.losses._error_driven.rank`, or not one error per positive.

    Example:
        >>> logits = torch.tensor([2.0, 1.0], requires_grad=True)
        >>> targets, errors = torch.tensor([0.0, 1.0]), torch.tensor([0.5], requires_grad=True)
        >>> classification, localization = alrp_loss(logits, targets, errors, delta=0.0)
        >>> (classification + localization).backward()
        >>> print(classification.item(), localization.item())
        0.5 0.25
        >>> print(logits.grad.tolist(), errors.grad.tolist())
        [0.5, -0.5] [0.5]
    """
    loss = partial(_alrp_loss, delta=delta, algorithm=algorithm)
    return ALRPLosses(*in_groups(loss, logits, targets, loc_errors))


def _alrp_loss(
    logits: Tensor, targets: Tensor, loc_errors: Tensor, *, delta: float, algorithm: str
) -> Sequence[Tensor]:
    r = rank(logits, targets, delta, algorithm, ALGORITHMS)
    _check_errors(loc_errors, len(r.pos))
    num_fp = r.sums.false_positives()
    ranks = positive_ranks(r, delta) + num_fp
    classification = num_fp / ranks / r.num_pos
    errors = loc_errors.detach().double()
    others = r.sums.above(errors) - step_at_zero(delta) * errors
    ranked_higher = torch.where(num_fp > _FEW_FALSE_POSITIVES, others / ranks / r.num_pos, 0.0)
    cls_scalar, loc_scalar = r.scalars(
        [classification, classification * 0.0],
        [-classification, -ranked_higher],
        [r.sums.spread(safe_divide(x, num_fp)) for x in (classification, ranked_higher)],
    )
    weights = _weights_of_errors(r, ranks).to(r.logits.dtype)
    localization = r.of_pos.sum(weights * loc_errors.to(r.logits.dtype))
    return cls_scalar, loc_scalar + localization.view_as(loc_scalar)


def _weights_of_errors(r: Ranking, ranks: Tensor) -> Tensor:
    """How much E_k counts: sum of 1 / (P rank_i) over positives i with s_i <= s_k; ``(P,)``."""
    positives = r.of_pos.pad(r.positives, math.inf)
    ascending, order = positives.sort()
    shares = r.of_pos.pad(1 / (ranks * r.num_pos))
    sums = shares.gather(1, order).cumsum(dim=1)
    last_tied = torch.searchsorted(ascending, positives, right=True) - 1
    # NaN sorts beyond the end; the result is NaN anyway.
    return r.of_pos.unpad(sums.gather(1, last_tied))


def _check_errors(loc_errors: Tensor, num_pos: int) -> None:
    if loc_errors.shape != (num_pos,):
        raise ValueError(
            f"loc_errors must have shape ({num_pos},), one per positive of targets, got "
            f"{tuple(loc_errors.shape)}; pass (1 - IoU) / 0.5 of the positives in their order."
        )


class ALRPLoss(RankingLoss, EpochLoss):
    """Module of :func:`alrp_loss` whose localization is balanced by the previous period.

    :meth:`observe` renews the weight, from the terms that the calls before it have left behind. The
    gradient with respect to boxes is multiplied by this weight: ``initial_box_weight`` in the first
    period, then mean aLRP over mean localization of the period before, over all ranks. The
    gradient with respect to logits is not. The value of the box loss is multiplied, too, so that it
    rises when the weight does; :meth:`statistics` has the plain one. The layers of a decoder share
    the weight, and the terms of an iteration are then the means over its layers.

    Source: aLRP section 4.2 (its algorithm A.1 has the classification as denominator by mistake)
    and the released code, where the period is a constant, the state is not in the checkpoint, and
    every rank has its own. The error is GIoU's: (1 - GIoU) / 2 / (1 - tau) can be above 1.

    Args:
        num_classes: C, number of foreground classes.
        delta: see :func:`alrp_loss`.
        algorithm: see there.
        iou_threshold: tau, from which IoU on a row is foreground; 0.7 in an RPN.
        initial_box_weight: weight in the first period, >= 0.
        iterations_per_epoch: length of a period. None: ``EpochLengthHook`` sets it; without it the
            first period never ends.

    Raises:
        ValueError: a setting is out of its range; see also :class:`RankingLoss`.
    """

    algorithms = ALGORITHMS
    box_weight: Tensor
    term_sums: Tensor
    num_iterations: Tensor
    last_terms: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        delta: float = 1.0,
        algorithm: str = "exact",
        iou_threshold: float = 0.5,
        initial_box_weight: float = 50.0,
        iterations_per_epoch: int | None = None,
    ) -> None:
        super().__init__(num_classes, delta=delta, algorithm=algorithm)
        _check_iou_threshold(iou_threshold)
        check_range("initial_box_weight", initial_box_weight, 0)
        check_epoch_length(iterations_per_epoch)
        self.iou_threshold = iou_threshold
        self.iterations_per_epoch = iterations_per_epoch
        weight = torch.tensor(initial_box_weight, dtype=torch.float64, device="cpu")
        self.register_buffer("box_weight", weight)
        # Classification and localization: sums over the iterations of this period whose losses are
        # known, the iterations that were observed in it, and the terms of the last loss. All terms
        # are means over the ranks.
        self.register_buffer("term_sums", torch.zeros(2, dtype=torch.float64, device="cpu"))
        self.register_buffer("num_iterations", torch.zeros((), dtype=torch.int64, device="cpu"))
        self.register_buffer("last_terms", torch.zeros(2, dtype=torch.float64, device="cpu"))

    def rank(self, x: RankingInputs, box_losses: Tensor) -> dict[str, Tensor]:
        """See :meth:`RankingLoss.rank`: ``loss_cls`` and ``loss_box_reg``."""
        extra_weight = (self.box_weight - 1).to(x.logits.dtype)
        errors = box_losses / (2 * (1 - self.iou_threshold))
        # The value of the errors with the weighted gradient, which so reaches the boxes only.
        errors = errors + extra_weight * (errors - errors.detach())
        classification, localization = alrp_loss(
            x.logits, x.targets, errors.flatten(), delta=self.delta, algorithm=self.algorithm
        )
        box_loss = localization + extra_weight * localization.detach()
        if self.training:
            terms = torch.stack([classification, localization]).detach().double()
            terms = terms.view(2, -1).mean(1)
            # Those of all ranks at once: a checkpoint holds the buffers of one rank.
            self.last_terms = mean_over_ranks_(terms)
        return {"loss_cls": classification, "loss_box_reg": box_loss + x.guard}

    def statistics(self) -> dict[str, Tensor]:
        """The last box loss in training without its weight, mean over ranks, and the weight."""
        return {"unbalanced_loss_box_reg": self.last_terms[1], "box_weight": self.box_weight}

    @torch.no_grad()
    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Add the iteration before to the period; at its end, start the next."""
        self.term_sums = self.term_sums + self.last_terms
        if self.iterations_per_epoch is not None:
            is_over = self.num_iterations >= self.iterations_per_epoch
            ratio = self.term_sums.sum() / self.term_sums[1]
            # A period without a positive says nothing about the weight.
            self.box_weight = torch.where(is_over & ratio.isfinite(), ratio, self.box_weight)
            self.term_sums = self.term_sums.masked_fill(is_over, 0)
            self.num_iterations = self.num_iterations.masked_fill(is_over, 0)
        self.num_iterations = self.num_iterations + 1


def _check_iou_threshold(iou_threshold: float) -> None:
    if not 0 <= iou_threshold < 1:
        raise ValueError(
            f"iou_threshold is {iou_threshold}; give the IoU in [0, 1) from which the matcher "
            "labels foreground."
        )
