import math

import pytest
import torch
from losses.dense_reference import COUNTS, ecm
from losses.ranking_modules import random_batch

from rankdet.losses.ecm_surrogate import ECMSurrogate
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss

C = len(COUNTS)
losses = pytest.mark.parametrize("make", [FocalLoss, VarifocalLoss, QualityFocalLoss])


@losses
def test_equal_counts_leave_the_plain_loss_of_twice_the_logit(make):
    """Up to m_c, which is the same for all, and a bias of -log(C - 1) / 4."""
    batch = random_batch(num_classes=C)
    bias, weight = -math.log(C - 1) / 4, (C - 1) * math.log(C / (C - 1))
    doubled = batch._replace(logits=2 * batch.logits + bias)
    expected = weight * make(C)(*doubled)["loss_cls"]
    value = make(C, surrogate=ECMSurrogate([7] * C))(*batch)["loss_cls"]
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


def test_only_foreground_is_counted():
    """ECM appendix F: n- is the sum of the other classes' counts, without background."""
    surrogate, total = ecm(), sum(COUNTS)
    ratios = torch.tensor([n / (total - n) for n in COUNTS], dtype=torch.float64)
    torch.testing.assert_close(surrogate.bias, ratios.log() / 4)
    torch.testing.assert_close(surrogate.weights, (1 + ratios).log() / ratios)


@pytest.mark.parametrize("make", [FocalLoss, VarifocalLoss])
def test_the_modulator_alone_tells_the_variants_apart(make):
    batch = random_batch(num_classes=C)
    values = [
        make(C, gamma=gamma, surrogate=ECMSurrogate(COUNTS, modulates_by_score=by))(*batch)[
            "loss_cls"
        ]
        for gamma in (0.0, 2.0)
        for by in (False, True)
    ]
    assert torch.equal(values[0], values[1]) and not torch.isclose(values[2], values[3])


def test_initial_logits_have_the_prior_as_surrogate_score():
    loss = FocalLoss(C, surrogate=ecm())
    logits = loss.initial_logits(0.01)
    assert logits.dtype == torch.float32
    surrogate = loss.surrogate(logits, slice(None)).logits.sigmoid()
    torch.testing.assert_close(surrogate, torch.full((C,), 0.01), rtol=1e-5, atol=0)


def test_the_surrogate_learns_the_iou_and_rare_classes_score_higher():
    loss, ious = (
        VarifocalLoss(C, surrogate=ecm()),
        torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64),
    )
    best = {}
    for c in (0, 4):
        classes = torch.full((3,), c)
        logits = ((ious.logit() - loss.surrogate.bias[c]) / 2).requires_grad_()
        value = loss.positives(loss.surrogate(logits, classes), ious).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
        best[c] = logits.detach()
    assert (best[4] > best[0]).all() and (best[0].diff() > 0).all()


@losses
def test_scores_are_plain_sigmoids(make):
    logits = torch.randn(3, C)
    assert torch.equal(make(C, surrogate=ecm()).foreground_scores(logits), logits.sigmoid())


class TestCheckpoint:
    @losses
    def test_configured_counts_win_with_a_warning(self, make, caplog):
        trained, batch = make(C, surrogate=ecm()), random_batch(num_classes=C)
        others = [n + (i in (1, 3)) for i, n in enumerate(COUNTS)]
        loss = make(C, surrogate=ECMSurrogate(others))
        expected = loss(*batch)
        loss.load_state_dict(trained.state_dict())
        assert "class_counts differ from the configured ones in 2 of 5 classes" in caplog.text
        assert loss.surrogate.class_counts.tolist() == [1000, 51, 3, 201, 1]
        assert loss(*batch) == expected

    def test_the_same_configuration_loads_in_silence(self, caplog):
        ecm().load_state_dict(ecm().state_dict())
        assert not caplog.text

    def test_a_pretrained_backbone_changes_nothing(self, caplog):
        ecm().load_state_dict({}, strict=False)
        assert not caplog.text

    def test_another_number_of_classes_is_refused(self):
        with pytest.raises(RuntimeError, match="size mismatch"):
            ECMSurrogate([1, 2]).load_state_dict(ecm().state_dict())


def test_empty_classes_count_as_one_and_are_named(caplog):
    surrogate = ECMSurrogate([5, 0, 3])
    assert "1 of 3 classes have no training instance and count as one: class ids 1." in caplog.text
    torch.testing.assert_close(surrogate.bias[1].item(), math.log(1 / 8) / 4)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([7], "class_counts has one class"),
        ([3, -1], r"class_counts\[1\] is -1"),
        ([[3, 1]], "class_counts must be a vector"),
    ],
)
def test_bad_class_counts_are_named(counts, message):
    with pytest.raises(ValueError, match=message):
        ECMSurrogate(counts)


@losses
def test_counts_of_other_classes_are_named(make):
    with pytest.raises(ValueError, match="num_classes is 4, but surrogate is for 5 classes; count"):
        make(4, surrogate=ecm())
