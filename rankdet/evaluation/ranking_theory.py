"""Average precision, ranking and classification error of a score set, and bounds between them.

Source: Cho and Krähenbühl, ECM, ECCV 2022, Definitions 1 and 2, Theorems 2 and 3 (Theorem 4 of the
supplement, whose typo sqrt(2/3) alpha R is read as sqrt(2/3 alpha R), as its proof derives).
alpha is the negative-to-positive ratio of a class.
"""

import torch
from torch import Tensor


def ranking_error(pos_scores: Tensor, neg_scores: Tensor) -> Tensor:
    """Share of (positive, negative) pairs in which the negative scores higher.

    Source: ECM Definition 2. Ties are no error.

    Args:
        pos_scores: ``(P,)``, P >= 1.
        neg_scores: ``(M,)``, M >= 1.

    Returns:
        Scalar in [0, 1], float64.

    Raises:
        ValueError: there is no positive or no negative.
    """
    return _outranking_share(pos_scores, neg_scores).mean()


def probabilistic_average_precision(
    pos_scores: Tensor, neg_scores: Tensor, alpha: float | None = None
) -> Tensor:
    """Area under precision over recall, with the samples as the two score distributions.

    Source: ECM Definition 1: the integral of beta / (beta + alpha g(beta)), where g is the share of
    negatives above the score that reaches recall beta. For P positives g is a step function with
    P steps, so that every step is integrated in closed form.

    Args:
        pos_scores: ``(P,)``, P >= 1.
        neg_scores: ``(M,)``, M >= 1.
        alpha: negative-to-positive ratio, > 0; None: M / P.

    Returns:
        Scalar in [0, 1], float64.

    Raises:
        ValueError: there is no positive or no negative.
    """
    alpha = len(neg_scores) / max(len(pos_scores), 1) if alpha is None else alpha
    offset = alpha * _outranking_share(pos_scores, neg_scores)
    width = 1.0 / len(offset)
    start = width * torch.arange(len(offset), dtype=torch.float64, device=offset.device)
    lost = torch.where(offset > 0, offset * torch.log1p(width / (start + offset)), 0.0)
    return (width - lost).sum()


def detection_error_bounds(error: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Bounds on 1 - AP that hold for every score distribution of a given ranking error.

    Source: ECM Theorem 2.

    Args:
        error: pairwise ranking error R in [0, 1], any shape.
        alpha: negative-to-positive ratio, > 0.

    Returns:
        (lower, upper) bound on 1 - AP, float64, shape of ``error``.

    Raises:
        ValueError: ``alpha`` is not positive or an error is outside [0, 1].
    """
    error = torch.as_tensor(error, dtype=torch.float64)
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}; the ratio of negatives to positives must be > 0.")
    if not bool(((error >= 0) & (error <= 1)).all()):
        raise ValueError("error must be ranking errors in [0, 1]; use ranking_error().")
    lower = -alpha * torch.log1p(-error / (1 + alpha))
    small_error = (2 / 3 * alpha * error).sqrt()
    large_error = 1 - 8 / 9 / (1 + 2 * alpha * error)
    return lower, torch.minimum(small_error, large_error)


def linear_slope(alpha: float) -> float:
    """The m of the approximation of 1 - AP by m R, R being the pairwise ranking error.

    Source: ECM section 4.1, which takes any m between Theorem 2's bounds at R = 1. This is the
    lower one, alpha log((1 + alpha) / alpha), because it is 1 - AP itself if R = 1.

    Args:
        alpha: negative-to-positive ratio, > 0.

    Returns:
        In (0, 1).

    Raises:
        ValueError: ``alpha`` is not positive.
    """
    return detection_error_bounds(torch.tensor(1.0), alpha)[0].item()


def classification_error(pos_scores: Tensor, neg_scores: Tensor) -> Tensor:
    """Share of positives at or below a threshold plus share of negatives above it, at the best one.

    It is never smaller than the ranking error.

    Source: ECM Theorem 3, with the threshold where the sum is least, as in its figure 3.

    Args:
        pos_scores: ``(P,)``, P >= 1.
        neg_scores: ``(M,)``, M >= 1.

    Returns:
        Scalar in [0, 1], float64.

    Raises:
        ValueError: there is no positive or no negative.
    """
    _check_samples(pos_scores, neg_scores)
    positives = pos_scores.double().sort().values
    negatives = neg_scores.double().sort().values
    # The best threshold is right below a positive, or above everything, where the error is 1.
    missed = torch.searchsorted(positives, positives).double() / len(positives)
    rejected = torch.searchsorted(negatives, positives).double() / len(negatives)
    return (missed + 1 - rejected).min().clamp(max=1)


def _outranking_share(pos_scores: Tensor, neg_scores: Tensor) -> Tensor:
    """``(P,)`` share of negatives above each positive, by falling positive score."""
    _check_samples(pos_scores, neg_scores)
    positives = pos_scores.double().sort(descending=True).values
    negatives = neg_scores.double().sort().values
    num_not_above = torch.searchsorted(negatives, positives, right=True)
    return 1 - num_not_above.double() / len(negatives)


def _check_samples(pos_scores: Tensor, neg_scores: Tensor) -> None:
    if not len(pos_scores) or not len(neg_scores):
        raise ValueError(
            f"need at least one positive and one negative score, got {len(pos_scores)} and "
            f"{len(neg_scores)}; skip classes without samples."
        )
