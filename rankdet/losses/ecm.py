"""Effective Class-Margin loss (Cho and Krähenbühl, ECCV 2022), cited as "ECM" below.

n+ and n- are the numbers of positive and negative samples of a class; background is a class of its
own, so there are C + 1 one-vs-all problems.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._class_counts import (
    check_counts,
    warn_of_empty_classes,
    warn_of_other_counts,
)
from rankdet.losses._distributed import sum_over_ranks_
from rankdet.losses._inputs import check_inputs, check_num_logits, one_hot
from rankdet.losses.base import ClassificationLoss

logger = logging.getLogger(__name__)


Counts = Tensor | Sequence[float] | float


def class_margins(num_pos: Counts, num_neg: Counts) -> tuple[Tensor, Tensor]:
    """Margins that make the bound on the binary classification error tightest.

    Source: ECM eq. 8: gamma+ = n-^(1/4) / (n+^(1/4) + n-^(1/4)), gamma- = 1 - gamma+.

    Args:
        num_pos: n+, any shape, >= 0.
        num_neg: n-, same shape, >= 0.

    Returns:
        gamma+ and gamma-, float64, in [0, 1] with sum 1. A class without positives has the limit
        gamma+ = 1; without any sample, 1/2.

    Raises:
        ValueError: a count is negative or not finite.
    """
    root_pos, root_neg = _counts(num_pos, "num_pos") ** 0.25, _counts(num_neg, "num_neg") ** 0.25
    total = root_pos + root_neg
    half = torch.full_like(total, 0.5)
    is_empty = total == 0
    safe_total = total.masked_fill(is_empty, 1.0)
    gamma_pos = torch.where(is_empty, half, root_neg / safe_total)
    return gamma_pos, torch.where(is_empty, half, root_pos / safe_total)


def detection_weights(num_pos: Tensor, num_neg: Tensor) -> Tensor:
    """Weight m_c that links ranking error and detection error linearly.

    Source: ECM section 4.1: m_c = alpha log((1 + alpha) / alpha), alpha = n- / n+: the lower end of
    the interval that the paper allows, as in the released code. Computed as log1p(x) / x with
    x = n+ / n-, which is exact where the released float32 form loses all digits (rare classes).

    Args:
        num_pos: n+, any shape, float64, > 0.
        num_neg: n-, same shape, > 0.

    Returns:
        m_c in (0, 1), float64.
    """
    return torch.log1p(num_pos / num_neg) * (num_neg / num_pos)


def surrogate_bias(num_pos: Tensor, num_neg: Tensor) -> Tensor:
    """Bias log(w+ / w-) of the surrogate score, w = 1 / gamma.

    Source: ECM eq. 11: the surrogate score is w+ e^f / (w+ e^f + w- e^-f) = sigmoid(2 f + bias).

    Args:
        num_pos: n+, any shape, float64, > 0.
        num_neg: n-, same shape, > 0.

    Returns:
        (log n+ - log n-) / 4, float64, logit units.
    """
    return (num_pos.log() - num_neg.log()) / 4


def ecm_loss(logits: Tensor, labels: Tensor, bias: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of the surrogate scores, weighted by class.

    Source: ECM eqs. 10 and 11, summed over classes; n is the number of all samples, as released.

    Args:
        logits: ``(N, C + 1)``, any real; the last column is background.
        labels: ``(N,)`` int64 in [0, C].
        bias: ``(C + 1,)`` from :func:`surrogate_bias`, logit units.
        weights: ``(C + 1,)`` from :func:`detection_weights`.

    Returns:
        Scalar >= 0: sum over classes, mean over N; 0 and connected to the graph if N = 0.

    Raises:
        ValueError: see :func:`rankdet.losses._inputs.check_inputs`.

    Example:
        >>> counts = torch.tensor([100.0, 1.0, 400.0], dtype=torch.float64)  # background last
        >>> others = counts.sum() - counts
        >>> logits = torch.zeros(1, 3, requires_grad=True)
        >>> bias, weights = surrogate_bias(counts, others), detection_weights(counts, others)
        >>> loss = ecm_loss(logits, torch.tensor([0]), bias, weights)
        >>> loss.backward()
        >>> print(loss, logits.grad)
        tensor(1.3347, grad_fn=<AddBackward0>) tensor([[-1.0463,  0.3488,  0.4733]])
    """
    x = check_inputs(logits, labels, num_classes=logits.shape[-1] - 1)
    surrogate = torch.add(bias.to(x.logits.dtype), x.logits, alpha=2)
    total = F.binary_cross_entropy_with_logits(
        surrogate,
        one_hot(x.labels, surrogate),
        weight=weights.to(surrogate.dtype),
        reduction="sum",
    )
    return total / max(len(x.labels), 1) + x.guard


class ECMLoss(ClassificationLoss):
    """Module of :func:`ecm_loss` that knows the class counts and measures the background.

    Background is a class with n_bg = ratio * sum(class_counts) (ECM appendix F), so C + 1 logits.
    Scores are sigmoid(f), not the surrogate and not the paper's sigmoid(2 f), as released.

    The counts and the ratio are buffers. When a checkpoint is loaded, the configured counts and a
    configured ratio win, with a warning where the checkpoint's differ. Resuming restores a measured
    ratio, and whether it is frozen. If the class counts differ (fine-tuning on other data), the
    ratio is measured again.

    Args:
        class_counts: ``(C,)`` training instances per class, >= 0. A class without instances counts
            as one, which gives it the largest finite margin; it is named in a warning.
        background_ratio: background / foreground samples that the classifier sees. None: measured
            over all ranks from the labels that :meth:`observe` gets, the running ratio being used
            from the first batch on, until :meth:`freeze_background_ratio` (called by
            ``BackgroundRatioHook``). The released code has the constant 6.3313.
        foreground_calibration: multiply class scores by 1 - background score (ECM appendix F).

    Raises:
        ValueError: a count is negative or not finite, or the ratio is not a number >= 0.
    """

    class_counts: Tensor
    num_samples: Tensor
    num_batches: Tensor
    background_ratio: Tensor
    background_ratio_is_frozen: Tensor
    bias: Tensor
    weights: Tensor

    def __init__(
        self,
        class_counts: Tensor | Sequence[float],
        background_ratio: float | None = None,
        foreground_calibration: bool = True,
    ) -> None:
        counts = check_counts("class_counts", class_counts)
        super().__init__(len(counts), num_logits=len(counts) + 1)
        warn_of_empty_classes(counts)
        self.foreground_calibration = foreground_calibration
        self.configured_ratio = _check_ratio(background_ratio)
        self.is_measuring = background_ratio is None
        self.register_buffer("class_counts", counts)
        self.register_buffer("num_samples", torch.zeros(2, dtype=torch.int64, device="cpu"))
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64, device="cpu"))
        ratio = 1.0 if background_ratio is None else float(background_ratio)
        self.register_buffer(
            "background_ratio", torch.tensor(ratio, dtype=torch.float64, device="cpu")
        )
        self.register_buffer(
            "background_ratio_is_frozen", torch.tensor(not self.is_measuring, device="cpu")
        )
        self.register_buffer("bias", None, persistent=False)
        self.register_buffer("weights", None, persistent=False)
        self._update_margins()

    @property
    def num_pos(self) -> Tensor:
        """``(C + 1,)`` float64: n+ of every class, background last; at least 1."""
        background = self.background_ratio * self.class_counts.sum()
        return torch.cat([self.class_counts, background.reshape(1)]).clamp(min=1.0)

    @property
    def num_neg(self) -> Tensor:
        """``(C + 1,)`` float64: n- of every class, background last."""
        num_pos = self.num_pos
        return num_pos.sum() - num_pos

    @torch.no_grad()
    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch, on all ranks, to the counted samples and follow their ratio."""
        if not self.is_measuring:
            return
        is_foreground = (labels >= 0) & (labels < self.num_classes)
        batch = torch.stack([is_foreground.sum(), (labels == self.num_classes).sum()])
        self.num_samples += sum_over_ranks_(batch)
        self.num_batches += 1
        foreground, background = self.num_samples.double()
        self.background_ratio = background / foreground.clamp(min=1.0)
        self._update_margins()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`ecm_loss`."""
        check_num_logits(logits, self.num_logits)
        return ecm_loss(logits, labels, self.bias, self.weights)

    def scores(self, logits: Tensor) -> Tensor:
        """``(N, C + 1)``: sigmoid(f_c) (1 - sigmoid(f_bg)); the last column is sigmoid(f_bg)."""
        scores = logits.sigmoid()
        if not self.foreground_calibration:
            return scores
        background = scores[:, -1:]
        return torch.cat([scores[:, :-1] * (1 - background), background], dim=1)

    def learned_logits(self, logits: Tensor) -> Tensor:
        """Those of the surrogate score, 2 f + bias."""
        return 2 * logits[..., :-1] + self.bias[:-1].to(logits.dtype)

    def initial_logits(self, prior_prob: float) -> Tensor:
        """Logits f whose surrogate score sigmoid(2 f + bias) is the prior; background 0.

        A ratio that is still to be measured counts as 1 here.
        """
        logits = super().initial_logits(prior_prob)
        logits[:-1] = (logits[:-1] - self.bias[:-1]) / 2
        return logits

    def freeze_background_ratio(self) -> None:
        """End the measurement: the ratio so far holds for the rest of the training."""
        self.is_measuring = False
        self.background_ratio_is_frozen.fill_(True)

    def _update_margins(self) -> None:
        # New tensors, because autograd may still hold the last ones for a pending backward pass.
        num_pos = self.num_pos
        num_neg = num_pos.sum() - num_pos
        self.bias = surrogate_bias(num_pos, num_neg)
        self.weights = detection_weights(num_pos, num_neg)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        configured = {name: buffer.clone() for name, buffer in self.named_buffers(recurse=False)}
        super()._load_from_state_dict(state_dict, prefix, *args)
        if prefix + "num_samples" not in state_dict:
            return  # The weights of a model without this loss, such as a pre-trained backbone.
        # Detectron2 takes tensors of another shape out beforehand.
        loaded_counts = state_dict.get(prefix + "class_counts", torch.empty(0))
        if not torch.equal(loaded_counts.cpu(), configured["class_counts"].cpu()):
            warn_of_other_counts(loaded_counts.cpu(), configured["class_counts"].cpu())
            logger.warning("As the counts differ, its background ratio is not taken over.")
            self._restore(configured)
        elif self.configured_ratio is not None:
            _warn_of_other_ratio(self.background_ratio, configured["background_ratio"])
            self._restore(configured)
        self.is_measuring = not bool(self.background_ratio_is_frozen)
        self._update_margins()

    def _restore(self, buffers: Mapping[str, Tensor]) -> None:
        for name, buffer in buffers.items():
            getattr(self, name).copy_(buffer)


def _counts(values: Counts, name: str) -> Tensor:
    counts = torch.as_tensor(values, dtype=torch.float64)
    bad = counts[~torch.isfinite(counts) | (counts < 0)]
    if bad.numel():
        raise ValueError(f"{name} must be counts >= 0 and finite, got {bad.flatten()[0].item():g}.")
    return counts


def _check_ratio(ratio: float | None) -> float | None:
    if ratio is not None and not 0 <= ratio < float("inf"):
        raise ValueError(
            f"background_ratio is {ratio}; it is background samples per foreground sample, >= 0 "
            "and finite, or None to measure it."
        )
    return ratio


def _warn_of_other_ratio(loaded: Tensor, configured: Tensor) -> None:
    if not torch.equal(loaded, configured):
        logger.warning(
            "The checkpoint's ECM background ratio %.4f differs from the configured %.4f; the "
            "configured ratio is used.",
            loaded.item(),
            configured.item(),
        )
