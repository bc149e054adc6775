import math

import pytest
import torch
from losses.dense_reference import COUNTS
from losses.ranking_modules import random_batch

from rankdet.losses.dense_ecm import FocalECMLoss, VarifocalECMLoss
from rankdet.losses.focal import FocalLoss, VarifocalLoss

C = len(COUNTS)
both = pytest.mark.parametrize("make", [FocalECMLoss, VarifocalECMLoss])


@pytest.mark.parametrize(
    ("make", "plain"), [(FocalECMLoss, FocalLoss), (VarifocalECMLoss, VarifocalLoss)]
)
def test_equal_counts_leave_the_plain_loss_of_twice_the_logit(make, plain):
    """Up to m_c, which is the same for all, and a bias of -log(C - 1) / 4."""
    batch = random_batch(num_classes=C)
    bias, weight = -math.log(C - 1) / 4, (C - 1) * math.log(C / (C - 1))
    doubled = batch._replace(logits=2 * batch.logits + bias)
    expected = weight * plain(C)(*doubled)["loss_cls"]
    value = make([7] * C)(*batch)["loss_cls"]
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


@both
def test_only_foreground_is_counted(make):
    """ECM appendix F: n- is the sum of the other classes' counts, without background."""
    loss, total = make(COUNTS), sum(COUNTS)
    ratios = torch.tensor([n / (total - n) for n in COUNTS], dtype=torch.float64)
    torch.testing.assert_close(loss.bias, ratios.log() / 4)
    torch.testing.assert_close(loss.weights, (1 + ratios).log() / ratios)


@both
def test_the_modulator_alone_tells_the_variants_apart(make):
    batch = random_batch(num_classes=C)
    values = [
        make(COUNTS, gamma=gamma, modulates_by_score=by_score)(*batch)["loss_cls"]
        for gamma in (0.0, 2.0)
        for by_score in (False, True)
    ]
    assert torch.equal(values[0], values[1]) and not torch.isclose(values[2], values[3])


@both
@pytest.mark.parametrize("by_score", [False, True])
def test_initial_logits_have_the_prior_as_surrogate_score(make, by_score):
    loss = make(COUNTS, modulates_by_score=by_score)
    logits = loss.initial_logits(0.01)
    assert logits.dtype == torch.float32
    surrogate = loss.surrogate(logits, slice(None)).logits.sigmoid()
    torch.testing.assert_close(surrogate, torch.full((C,), 0.01), rtol=1e-5, atol=0)


def test_the_surrogate_learns_the_iou_and_rare_classes_score_higher():
    loss, ious = VarifocalECMLoss(COUNTS), torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)
    best = {}
    for c in (0, 4):
        classes = torch.full((3,), c)
        logits = ((ious.logit() - loss.bias[c]) / 2).requires_grad_()
        value = loss.positives(loss.surrogate(logits, classes), ious).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
        best[c] = logits.detach()
    assert (best[4] > best[0]).all() and (best[0].diff() > 0).all()


@both
def test_scores_are_plain_sigmoids(make):
    logits = torch.randn(3, C)
    assert torch.equal(make(COUNTS).foreground_scores(logits), logits.sigmoid())


class TestCheckpoint:
    @both
    def test_configured_counts_win_with_a_warning(self, make, caplog):
        trained, batch = make(COUNTS), random_batch(num_classes=C)
        loss = make([n + (i in (1, 3)) for i, n in enumerate(COUNTS)])
        expected = loss(*batch)
        loss.load_state_dict(trained.state_dict())
        assert "class_counts differ from the configured ones in 2 of 5 classes" in caplog.text
        assert loss.class_counts.tolist() == [1000, 51, 3, 201, 1]
        assert loss(*batch) == expected

    @both
    def test_the_same_configuration_loads_in_silence(self, make, caplog):
        make(COUNTS).load_state_dict(make(COUNTS).state_dict())
        assert not caplog.text

    @both
    def test_a_pretrained_backbone_changes_nothing(self, make, caplog):
        make(COUNTS).load_state_dict({}, strict=False)
        assert not caplog.text

    @both
    def test_another_number_of_classes_is_refused(self, make):
        with pytest.raises(RuntimeError, match="size mismatch"):
            make([1, 2]).load_state_dict(make(COUNTS).state_dict())


@both
def test_empty_classes_count_as_one_and_are_named(make, caplog):
    loss = make([5, 0, 3])
    assert "1 of 3 classes have no training instance and count as one: class ids 1." in caplog.text
    torch.testing.assert_close(loss.bias[1].item(), math.log(1 / 8) / 4)


@both
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([7], "class_counts has one class"),
        ([3, -1], r"class_counts\[1\] is -1"),
        ([[3, 1]], "class_counts must be a vector"),
    ],
)
def test_bad_class_counts_are_named(make, counts, message):
    with pytest.raises(ValueError, match=message):
        make(counts)
