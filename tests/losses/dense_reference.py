"""The losses of dense detectors, and what the papers make of a batch, entry by entry."""

import math
from typing import NamedTuple

import torch
from losses.ranking_modules import Batch

from rankdet.losses.ecm_surrogate import ECMSurrogate
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss

NUM_CLASSES = 5
COUNTS = [1000, 50, 3, 200, 1]
DENSE_LOSSES = {
    "focal": lambda: FocalLoss(NUM_CLASSES),
    "focal, other settings": lambda: FocalLoss(NUM_CLASSES, alpha=0.6, gamma=0.5, box_weight=2.0),
    "varifocal": lambda: VarifocalLoss(NUM_CLASSES),
    "varifocal, other settings": lambda: VarifocalLoss(NUM_CLASSES, alpha=2.0, gamma=0.0),
    "quality focal": lambda: QualityFocalLoss(NUM_CLASSES),
    "quality focal, other settings": lambda: QualityFocalLoss(NUM_CLASSES, beta=1.5),
    "focal ECM": lambda: FocalLoss(NUM_CLASSES, surrogate=ecm()),
    "focal ECM by score": lambda: FocalLoss(NUM_CLASSES, alpha=0.6, surrogate=ecm_by_score()),
    "varifocal ECM": lambda: VarifocalLoss(NUM_CLASSES, surrogate=ecm()),
    "varifocal ECM by score": lambda: VarifocalLoss(NUM_CLASSES, gamma=3, surrogate=ecm_by_score()),
    "quality focal ECM": lambda: QualityFocalLoss(NUM_CLASSES, surrogate=ecm()),
    "quality focal ECM by score": lambda: QualityFocalLoss(NUM_CLASSES, surrogate=ecm_by_score()),
}


def ecm():
    return ECMSurrogate(COUNTS)


def ecm_by_score():
    return ECMSurrogate(COUNTS, modulates_by_score=True)


class Score(NamedTuple):
    """A score and one minus it, each without cancellation."""

    true: torch.Tensor
    false: torch.Tensor


def expected_losses(loss, batch: Batch) -> dict[str, torch.Tensor]:
    """``loss_cls`` and ``loss_box_reg`` of one process."""
    total, ious = batch.logits.sum() * 0, iter(batch.ious.tolist())
    for row, label in zip(batch.logits, batch.labels.tolist(), strict=True):
        iou = next(ious) if 0 <= label < NUM_CLASSES else 0.0
        for c in range(NUM_CLASSES) if label != -1 else ():
            total = total + _entry(loss, row[c], c, iou if c == label else None)
    num_pos = max(len(batch.ious), 1)
    return {
        "loss_cls": total / num_pos,
        "loss_box_reg": loss.box_weight * batch.box_losses.sum() / num_pos,
    }


def _entry(loss, logit, c, iou):
    """Loss of one logit; ``iou`` is None for a negative."""
    score = modulator = Score(1 / (1 + (-logit).exp()), 1 / (1 + logit.exp()))
    weight = 1.0
    if isinstance(loss.surrogate, ECMSurrogate):
        score, weight = _ecm_entry(logit, c)
        modulator = modulator if loss.surrogate.modulates_by_score else score
    if isinstance(loss, FocalLoss):
        return weight * _focal(loss, score, modulator, iou)
    if isinstance(loss, VarifocalLoss):
        return weight * _varifocal(loss, score, modulator, iou)
    return weight * _quality_focal(loss, score, modulator, iou)


def _ecm_entry(logit, c):
    """Surrogate score and m_c of ECM eqs. 8, 11 and section 4.1, of foreground counts."""
    pos, neg = COUNTS[c], sum(COUNTS) - COUNTS[c]
    gamma_pos = neg**0.25 / (pos**0.25 + neg**0.25)
    above, below = logit.exp() / gamma_pos, (-logit).exp() / (1 - gamma_pos)
    alpha = neg / pos
    surrogate = Score(above / (above + below), below / (above + below))
    return surrogate, alpha * math.log((1 + alpha) / alpha)


def _focal(loss, p, m, iou):
    """Lin et al. 2017, eq. 5."""
    if iou is None:
        return -(1 - loss.alpha) * m.true**loss.gamma * p.false.log()
    return -loss.alpha * m.false**loss.gamma * p.true.log()


def _varifocal(loss, p, m, iou):
    """Zhang et al. 2021, eq. 2: q is 0 for negatives."""
    q = iou or 0.0
    if q > 0:
        return -q * (q * p.true.log() + (1 - q) * p.false.log())
    return -loss.alpha * m.true**loss.gamma * p.false.log()


def _quality_focal(loss, p, m, iou):
    """Li et al. 2020, eq. 3: q is 0 for negatives."""
    q = iou or 0.0
    return -((q - m.true).abs() ** loss.gamma) * ((1 - q) * p.false.log() + q * p.true.log())
