import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from losses.ranking_modules import random_batch
from torchvision.ops import sigmoid_focal_loss

from rankdet.losses._focal_base import Surrogate
from rankdet.losses._inputs import one_hot
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss

C = 4


def labeled_batch():
    """A batch without ignored rows, and its one-vs-all targets."""
    batch = random_batch(labels=torch.arange(30) % (C + 1), num_classes=C)
    return batch, one_hot(batch.labels, batch.logits)


def with_ious(batch, iou):
    return batch._replace(ious=torch.full_like(batch.ious, iou))


def same(actual, expected, logits):
    """Equal in value and in gradient."""
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)
    gradients = [torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (actual, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.9, 1.5)])
def test_focal_loss_is_torchvisions_over_the_number_of_positives(alpha, gamma):
    batch, targets = labeled_batch()
    total = sigmoid_focal_loss(batch.logits, targets, alpha, gamma, reduction="sum")
    loss = FocalLoss(C, alpha=alpha, gamma=gamma)
    same(loss(*batch)["loss_cls"], total / len(batch.ious), batch.logits)


def test_perfect_boxes_leave_varifocal_cross_entropy_of_positives():
    batch, targets = labeled_batch()
    entropy = F.binary_cross_entropy_with_logits(batch.logits, targets, reduction="sum")
    loss = VarifocalLoss(C, alpha=1.0, gamma=0.0)
    same(loss(*with_ious(batch, 1.0))["loss_cls"], entropy / len(batch.ious), batch.logits)


def test_perfect_boxes_make_quality_focal_loss_focal_loss():
    batch, _ = labeled_batch()
    batch = with_ious(batch, 1.0)
    expected = 2 * FocalLoss(C, alpha=0.5)(*batch)["loss_cls"]
    same(QualityFocalLoss(C)(*batch)["loss_cls"], expected, batch.logits)


@pytest.mark.parametrize("make", [VarifocalLoss, QualityFocalLoss])
def test_a_positive_whose_box_misses_is_a_negative(make):
    loss, (batch, _) = make(C), labeled_batch()
    rows = batch.labels < C
    background = loss(batch.logits, torch.full_like(batch.labels, C), *torch.zeros(2, 0))
    missed = loss(*with_ious(batch, 0.0))["loss_cls"]
    same(missed, background["loss_cls"] / rows.sum(), batch.logits)


@pytest.mark.parametrize("make", [VarifocalLoss, QualityFocalLoss])
def test_scores_learn_the_iou(make):
    """The loss of a positive is least where its score is its IoU."""
    ious = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    logits = ious.logit().requires_grad_()
    least = make(C).positives(Surrogate(logits, logits), ious)
    for step in (-0.01, 0.01):
        other = logits.detach() + step
        assert (make(C).positives(Surrogate(other, other), ious) > least).all()
    (gradient,) = torch.autograd.grad(least.sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_focal_loss_does_not_look_at_the_iou():
    batch, _ = labeled_batch()
    loss = FocalLoss(C)
    assert torch.equal(loss(*batch)["loss_cls"], loss(*with_ious(batch, 0.0))["loss_cls"])


def test_the_prior_is_the_score_to_start_from():
    scores = FocalLoss(C).initial_logits(0.01).sigmoid()
    torch.testing.assert_close(scores, torch.full((C,), 0.01))


@pytest.mark.parametrize("make", [FocalLoss, VarifocalLoss, QualityFocalLoss])
def test_box_weight_multiplies_the_loss_of_boxes_alone(make):
    batch, _ = labeled_batch()
    expected, values = make(C)(*batch), make(C, box_weight=3.0)(*batch)
    torch.testing.assert_close(values["loss_box_reg"], 3 * expected["loss_box_reg"])
    assert torch.equal(values["loss_cls"], expected["loss_cls"])


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (FocalLoss, {"alpha": 1.1}, r"alpha is 1.1; give a number >= 0 and <= 1"),
        (FocalLoss, {"gamma": -1.0}, r"gamma is -1.0; give a number >= 0 and finite"),
        (FocalLoss, {"gamma": float("nan")}, "gamma is nan"),
        (FocalLoss, {"box_weight": float("inf")}, "box_weight is inf"),
        (VarifocalLoss, {"alpha": -0.1}, "alpha is -0.1"),
        (QualityFocalLoss, {"beta": 0.5}, r"beta is 0.5; give a number >= 1 and finite"),
    ],
)
def test_bad_settings_are_named(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(C, **settings)
