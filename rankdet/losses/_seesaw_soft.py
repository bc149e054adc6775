"""Seesaw's cross-entropy with soft targets, for all classes without a C x C matrix per sample."""

import math

import torch
from torch import Tensor

# Elements of the largest temporary: 64 MiB in float32.
CHUNK_ELEMENTS = 2**24


def seesaw_soft_losses(
    logits: Tensor, targets: Tensor, class_counts: Tensor, *, p: float, q: float, eps: float
) -> Tensor:
    """Cross-entropy in which every class i of the target has its own re-balanced softmax.

    Source: PCB eq. 17: -sum_i target_i log(e^z_i / D_i), D_i = sum_j S_ij e^z_j, with the factors S
    of :func:`rankdet.losses.seesaw.seesaw_log_factors`, constants to the gradient. S_ij is the
    mitigation M_ij times the compensation max(1, s_j / max(s_i, eps))^q. All classes i but the few
    with s_i > eps, fewer than 1 / eps, have the same compensation, so that their D is a matrix
    product; for the others the pairs among the few suffice. It is exact.

    Args:
        logits: ``(N, C)``, float32 or wider, of the classes alone.
        targets: ``(N, C)`` in [0, 1], without gradient.
        class_counts: ``(C,)`` samples so far; a class without samples counts as one.
        p: exponent of the mitigation.
        q: exponent of the compensation.
        eps: smallest s_i in the compensation; 0: no limit, and all pairs of classes are looked at.

    Returns:
        ``(N,)``, >= 0 for targets that sum to 1.
    """
    log_counts = class_counts.clamp(min=1).to(logits.dtype).log()
    mitigation = (log_counts - log_counts.unsqueeze(1)).clamp_(max=0).mul_(p).exp_()
    num_top = min(logits.shape[1], math.ceil(1 / eps)) if eps else logits.shape[1]
    log_eps = math.log(eps) if eps else -math.inf
    num_rows = max(CHUNK_ELEMENTS // num_top**2, 1)
    log_probs = torch.log_softmax(logits, dim=1)
    chunks = [
        _denominators(x, t, mitigation, num_top=num_top, q=q, log_eps=log_eps)
        for x, t in zip(log_probs.detach().split(num_rows), targets.split(num_rows), strict=True)
    ]
    values, slopes = (torch.cat(x) for x in zip(*chunks, strict=True))
    probs = log_probs.exp()
    # The gradient of log D, found with its value, goes through probs; this adds 0 to the value.
    return values + (slopes * (probs - probs.detach()) - targets * log_probs).sum(dim=1)


@torch.no_grad()
def _denominators(
    log_probs: Tensor,
    targets: Tensor,
    mitigation: Tensor,
    *,
    num_top: int,
    q: float,
    log_eps: float,
) -> tuple[Tensor, Tensor]:
    """sum_i target_i log D_i ``(n,)`` of the probabilities, and its gradient ``(n, C)`` in them."""
    probs = log_probs.exp()
    top_log_probs, top = log_probs.topk(num_top, dim=1)
    # By how much the compensation is above 1: for the classes i below eps, and for the top pairs.
    common = torch.zeros_like(probs)
    if num_top < probs.shape[1]:
        common = (log_probs - log_eps).clamp_(min=0).mul_(q).expm1_()
    gain = top_log_probs.unsqueeze(1) - top_log_probs.clamp(min=log_eps).unsqueeze(2)
    pairs = gain.clamp_(min=0).mul_(q).expm1_()
    pairs.mul_(mitigation[top.unsqueeze(2), top.unsqueeze(1)])
    with torch.autocast(log_probs.device.type, enabled=False):
        plain = probs @ mitigation.T
        sums = plain + (common * probs) @ mitigation.T
        top_sums = plain.gather(1, top) + (pairs @ top_log_probs.exp().unsqueeze(2)).squeeze(2)
        sums.scatter_(1, top, top_sums)
        ratios = targets / sums
        slopes = ratios @ mitigation + common * (ratios.scatter(1, top, 0) @ mitigation)
        slopes.scatter_add_(1, top, (ratios.gather(1, top).unsqueeze(1) @ pairs).squeeze(1))
    return (targets * sums.log()).sum(dim=1), slopes
