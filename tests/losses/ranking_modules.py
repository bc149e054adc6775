"""The ranking loss modules, and what they compute, written down slowly."""

from typing import NamedTuple

import torch
from losses.ranking_reference import (
    Case,
    alrp_reference,
    ap_reference,
    ndcg_reference,
    rank_sort_reference,
)
from torch import Tensor

from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.ap import APLoss
from rankdet.losses.ndcg import NDCGLoss
from rankdet.losses.rank_sort import RankSortLoss

MODULES = {
    "RS": lambda num_classes: RankSortLoss(num_classes),
    "BRS": lambda num_classes: RankSortLoss(num_classes, algorithm="bucketed"),
    "RS with equal boxes": lambda num_classes: RankSortLoss(
        num_classes, score_weighted_boxes=False
    ),
    "AP": lambda num_classes: APLoss(num_classes),
    "interpolated AP": lambda num_classes: APLoss(num_classes, interpolate=True),
    "AP with equal boxes": lambda num_classes: APLoss(num_classes, score_weighted_boxes=False),
    "BAP": lambda num_classes: APLoss(num_classes, algorithm="bucketed"),
    "NDCG": lambda num_classes: NDCGLoss(num_classes),
    "aLRP": lambda num_classes: ALRPLoss(num_classes, iterations_per_epoch=2),
}


class Batch(NamedTuple):
    """The arguments of a ranking loss."""

    logits: Tensor
    labels: Tensor
    ious: Tensor
    box_losses: Tensor


def random_batch(num_rows=12, num_classes=3, *, seed=0, dtype=torch.float64, labels=None):
    """Rows of every kind: foreground of every class, background and ignored."""
    generator = torch.Generator().manual_seed(seed)
    if labels is None:
        labels = torch.randint(-1, num_classes + 1, (num_rows,), generator=generator)
    logits = torch.randn(len(labels), num_classes, generator=generator, dtype=dtype)
    count = int(((labels >= 0) & (labels < num_classes)).sum())
    ious, box_losses = torch.rand(2, count, generator=generator, dtype=dtype)
    return Batch(logits.requires_grad_(), labels, ious, (1.2 * box_losses).requires_grad_())


def flat_case(batch: Batch, delta: float, loc_errors: Tensor) -> Case:
    """One ranking, filled entry by entry."""
    logits, targets, ious = [], [], iter(batch.ious.tolist())
    num_classes = batch.logits.shape[1]
    for row, label in enumerate(batch.labels.tolist()):
        iou = next(ious) if 0 <= label < num_classes else None
        for column in range(num_classes):
            logits.append(batch.logits[row, column].item())
            if label == -1:
                targets.append(-1.0)
            else:
                targets.append(max(iou, 1e-30) if column == label else 0.0)
    as_tensor = {"dtype": torch.float64}
    return Case(
        torch.tensor(logits, **as_tensor), torch.tensor(targets, **as_tensor), loc_errors, delta
    )


class Expected(NamedTuple):
    """Values by name, and gradients of their sum."""

    values: dict[str, float]
    logits: Tensor
    box_losses: Tensor


def expected_losses(loss, batch: Batch) -> Expected:
    """What the papers and the released code make of a batch."""
    if isinstance(loss, ALRPLoss):
        return _expected_alrp(loss, batch)
    case = flat_case(batch, loss.delta, batch.box_losses.detach())
    bucketed = loss.algorithm == "bucketed"
    if isinstance(loss, RankSortLoss):
        terms = dict(
            zip(("loss_rank", "loss_sort"), rank_sort_reference(case, bucketed), strict=True)
        )
    elif isinstance(loss, APLoss):
        terms = {"loss_rank": ap_reference(case, loss.interpolate, bucketed)[0]}
    else:
        terms = {"loss_rank": ndcg_reference(case)[0]}
    values = {name: term.value.item() for name, term in terms.items()}
    shares, box_loss = _weighted_boxes(batch, getattr(loss, "score_weighted_boxes", True))
    factor = sum(values.values()) / box_loss if isinstance(loss, RankSortLoss) else loss.box_weight
    return Expected(
        values={**values, "loss_box_reg": factor * box_loss},
        logits=sum(term.gradient for term in terms.values()).reshape(batch.logits.shape),
        box_losses=factor * torch.tensor(shares, dtype=torch.float64),
    )


def _weighted_boxes(batch, is_by_score):
    """Share of each foreground row, alike or by its largest score, and the mean box loss."""
    scores = batch.logits.detach().double().sigmoid().tolist()
    labels, num_classes = batch.labels.tolist(), batch.logits.shape[1]
    weights = [
        max(row) if is_by_score else 1.0
        for row, label in zip(scores, labels, strict=True)
        if 0 <= label < num_classes
    ]
    shares = [weight / sum(weights) for weight in weights]
    losses = batch.box_losses.tolist()
    return shares, sum(share * x for share, x in zip(shares, losses, strict=True))


def _expected_alrp(loss, batch):
    errors = batch.box_losses.detach().double() / (2 * (1 - loss.iou_threshold))
    classification, localization = alrp_reference(flat_case(batch, loss.delta, errors))
    weight = loss.box_weight.item()
    gradient = classification.gradient + localization.gradient
    return Expected(
        values={
            "loss_cls": classification.value.item(),
            "loss_box_reg": weight * localization.value.item(),
        },
        logits=gradient.reshape(batch.logits.shape),
        box_losses=weight * localization.loc_gradient / (2 * (1 - loss.iou_threshold)),
    )
