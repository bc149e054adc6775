"""Slow and obvious: the ranking losses as the papers define them, one positive at a time.

Everything is float64. Letters: i a positive, j any sample, k a positive, P the number of positives.
aLRP: Oksuz et al., NeurIPS 2020. RS: Oksuz et al., ICCV 2021. BRS, BAP: Yavuz et al., ECCV 2024.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Case(NamedTuple):
    """What a ranking loss is called with; `loc_errors` matter to aLRP only."""

    logits: Tensor
    targets: Tensor
    loc_errors: Tensor
    delta: float


class Terms(NamedTuple):
    """One returned scalar and its gradients with respect to logits and localization errors."""

    value: Tensor
    gradient: Tensor
    loc_gradient: Tensor


def split(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, and the indices of the positives and of the negatives."""
    positives = (case.targets > 0).nonzero().flatten()
    negatives = (case.targets == 0).nonzero().flatten()
    return case.logits.detach().double(), positives, negatives


def step(x: Tensor, delta: float) -> Tensor:
    """H(x): aLRP section 2.1."""
    return (x >= 0).double() if delta == 0 else (x / (2 * delta) + 0.5).clamp(0, 1)


def zero_terms(case: Case) -> Terms:
    logits, loc_errors = case.logits.detach().double(), case.loc_errors.detach().double()
    return Terms(torch.zeros((), dtype=torch.float64), 0 * logits, 0 * loc_errors)


def pull_apart(gradient: Tensor, i: Tensor, amount: Tensor, others: Tensor, shares: Tensor) -> None:
    """Add the update of aLRP eqs. 5 and 7: i rises by `amount`, which others pay by shares."""
    if shares.sum() > 0:
        gradient[i] -= amount
        gradient[others] += amount * shares / shares.sum()


def bucket_means(pos: Tensor, neg: Tensor, delta: float) -> Tensor:
    """Give every negative the mean of its bucket, BRS eq. 12; -inf to those far below."""
    kept = neg >= pos.min() - delta
    bucket = torch.tensor([int((pos.unique() <= n).sum()) for n in neg])
    means = torch.full_like(neg, -torch.inf)
    for number in bucket[kept].unique():
        members = kept & (bucket == number)
        mean = neg[members].mean()
        # Rounding must not carry the mean of equal scores out of its bucket.
        means[members] = mean.clamp(neg[members].min(), neg[members].max())
    return means


def ap_reference(case: Case, interpolate=False, bucketed=False) -> tuple[Terms]:
    """AP Loss: aLRP eqs. 2 to 5; with running maximum as released; or BAP, BRS eqs. 13 and 14."""
    logits, positives, negatives = split(case)
    terms = zero_terms(case)
    neg = logits[negatives]
    if bucketed and len(positives) and len(negatives):
        neg = bucket_means(logits[positives], neg, case.delta)
    self_term = step(torch.zeros(()), case.delta) if bucketed else 1.0

    def precision(i):
        others = positives[positives != i]
        rank_pos = self_term + step(logits[others] - logits[i], case.delta).sum()
        return float(rank_pos / (rank_pos + step(neg - logits[i], case.delta).sum()))

    precisions = torch.tensor([precision(i) for i in positives], dtype=torch.float64)
    for n, i in enumerate(positives):
        error = 1 - precisions[n]
        if interpolate:
            error = 1 - precisions[logits[positives] <= logits[i]].max()
        terms.value.add_(error / len(positives))
        shares = step(neg - logits[i], case.delta)
        pull_apart(terms.gradient, i, error / len(positives), negatives, shares)
    return (terms,)


def rank_sort_reference(case: Case, bucketed=False) -> tuple[Terms, Terms]:
    """RS Loss: BRS eqs. S.2 to S.7, the self term as released (H(0)); or BRS."""
    logits, positives, negatives = split(case)
    ranking, sorting = zero_terms(case), zero_terms(case)
    pos, neg, iou = logits[positives], logits[negatives], case.targets[positives].double()
    if bucketed and len(positives) and len(negatives):
        neg = bucket_means(pos, neg, case.delta)
    for i, p, y in zip(positives, pos, iou, strict=True):
        above, false_pos = step(pos - p, case.delta), step(neg - p, case.delta)
        error = false_pos.sum() / (above.sum() + false_pos.sum()) / len(pos)
        ranking.value.add_(error)
        pull_apart(ranking.gradient, i, error, negatives, false_pos)

        better, worse = above * (iou >= y), above * (iou < y)
        current = (above * (1 - iou)).sum() / above.sum()
        target = (better * (1 - iou)).sum() / better.sum()
        error = (current - target) / len(pos)
        sorting.value.add_(error)
        if worse.sum() > 1e-10:
            pull_apart(sorting.gradient, i, error, positives, worse)
    return ranking, sorting


def alrp_reference(case: Case) -> tuple[Terms, Terms]:
    """aLRP eqs. 9 to 14; the sum of errors in the value is hard, as in the released code."""
    logits, positives, negatives = split(case)
    classification, localization = zero_terms(case), zero_terms(case)
    pos, neg, errors = logits[positives], logits[negatives], case.loc_errors.detach().double()
    for n, (i, p) in enumerate(zip(positives, pos, strict=True)):
        false_pos, above = step(neg - p, case.delta), step(pos - p, case.delta)
        above[n] = 0
        rank = 1 + above.sum() + false_pos.sum()
        share = 1 / (rank * len(pos))

        classification.value.add_(false_pos.sum() * share)
        pull_apart(classification.gradient, i, false_pos.sum() * share, negatives, false_pos)

        localization.value.add_(errors[pos >= p].sum() * share)
        localization.loc_gradient[pos >= p] += share
        if false_pos.sum() > 1e-5:
            amount = (above * errors).sum() * share
            pull_apart(localization.gradient, i, amount, negatives, false_pos)
    return classification, localization


def ndcg_reference(case: Case) -> tuple[Terms]:
    """aLRP eqs. A.39 to A.44 with the gains of NDCG and the target rank+ (docs of ndcg_loss)."""
    logits, positives, negatives = split(case)
    terms = zero_terms(case)
    ideal = sum(1 / torch.tensor(1.0 + n).double().log2() for n in range(1, len(positives) + 1))
    for i in positives:
        others = positives[positives != i]
        false_pos = step(logits[negatives] - logits[i], case.delta)
        rank_pos = 1 + step(logits[others] - logits[i], case.delta).sum()
        gain, target = 1 / (1 + rank_pos + false_pos.sum()).log2(), 1 / (1 + rank_pos).log2()
        terms.value.add_((target - gain) / ideal)
        pull_apart(terms.gradient, i, (target - gain) / ideal, negatives, false_pos)
    return (terms,)


def smallest_false_positives(case: Case) -> float:
    """The least FP(i) > 1e-5: aLRP divides by it, and drops what is below."""
    logits, positives, negatives = split(case)
    sums = [float(step(logits[negatives] - logits[i], case.delta).sum()) for i in positives]
    return min([1.0, *(fp for fp in sums if fp > 1e-5)])
