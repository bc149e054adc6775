"""Gaussian mixtures of two components in one dimension, many at once."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

# Added to every sum of responsibilities, as by scikit-learn.
_SMALLEST_COUNT = 10 * torch.finfo(torch.float64).eps


class Mixture(NamedTuple):
    """G mixtures of two components each, all ``(G, 2)`` float64.

    Attributes:
        weights: share of each component.
        means: their means.
        variances: their variances.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def log_joint(self, samples: Tensor) -> Tensor:
        """Log of weight times density of each component: ``(G, K)`` gives ``(G, K, 2)``."""
        distances = (samples[..., None] - self.means[:, None]).square() / self.variances[:, None]
        scale = self.weights.log() - (2 * math.pi * self.variances).log() / 2
        return scale[:, None] - distances / 2


def fit_mixture(
    samples: Tensor,
    is_sample: Tensor,
    *,
    regularization: float = 1e-6,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
) -> Mixture:
    """Fit one mixture to each row by expectation maximization.

    Components start at the smallest and the largest sample, with equal weights and variance 1. A
    row stops by itself, when its mean log likelihood changes by less than ``tolerance``, so no row
    depends on another.

    Source: what PAA (Kim and Lee, ECCV 2020) as released gives to scikit-learn's
    ``GaussianMixture``, with its stopping rule and its regularization, one call per object. Here
    all objects are fitted together.

    Args:
        samples: ``(G, K)``; computed in float64.
        is_sample: ``(G, K)`` bool; other entries mean nothing.
        regularization: what every variance is larger than the likeliest; scikit-learn's
            ``reg_covar``, whose default is the one here.
        tolerance: smallest change of the mean log likelihood that goes on.
        max_iterations: largest number of steps.

    Returns:
        G mixtures; NaN where a row has no sample or a NaN among them.
    """
    rows = samples.double().masked_fill(~is_sample, 0)
    start = torch.stack(
        [
            rows.masked_fill(~is_sample, math.inf).amin(1),
            rows.masked_fill(~is_sample, -math.inf).amax(1),
        ],
        dim=1,
    )
    mixture = Mixture(torch.full_like(start, 0.5), start, torch.ones_like(start))
    previous = rows.new_full((len(rows),), -math.inf)
    is_active = torch.ones_like(previous, dtype=torch.bool)
    for _ in range(max_iterations):
        log_joint = mixture.log_joint(rows)
        log_likelihoods = log_joint.logsumexp(-1)
        responsibilities = (log_joint - log_likelihoods[..., None]).exp() * is_sample[..., None]
        step = _maximize(rows, responsibilities, regularization)
        mixture = Mixture(
            *(torch.where(is_active[:, None], *x) for x in zip(step, mixture, strict=True))
        )
        current = (log_likelihoods * is_sample).sum(1) / is_sample.sum(1)
        is_active = is_active & ((current - previous).abs() >= tolerance)
        previous = current
        if not is_active.any():  # Waits for the device, which costs less than a step too many.
            break
    return mixture


def _maximize(samples: Tensor, responsibilities: Tensor, regularization: float) -> Mixture:
    """The likeliest parameters for ``(G, K)`` samples with ``(G, K, 2)`` responsibilities."""
    counts = responsibilities.sum(1) + _SMALLEST_COUNT
    means = (responsibilities * samples[..., None]).sum(1) / counts
    squares = (samples[..., None] - means[:, None]).square()
    variances = (responsibilities * squares).sum(1) / counts + regularization
    return Mixture(counts / counts.sum(1, keepdim=True), means, variances)
