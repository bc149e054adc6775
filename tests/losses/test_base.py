import pytest
import torch

from rankdet.losses._inputs import IGNORED, check_joint_inputs
from rankdet.losses.ap import APLoss
from rankdet.losses.base import independent_scores
from rankdet.losses.ecm import ECMLoss
from rankdet.losses.focal import FocalLoss
from rankdet.losses.seesaw import SeesawLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

C = 3


@pytest.mark.parametrize("make", [APLoss, FocalLoss])
def test_scores_are_sigmoids_with_the_chance_of_no_class_last(make):
    loss, logits = make(C), torch.randn(4, C)
    assert loss.num_logits == C
    assert torch.equal(loss.scores(logits), independent_scores(logits))


@pytest.mark.parametrize(
    "loss",
    [APLoss(C), FocalLoss(C), SoftmaxCrossEntropyLoss(C), SeesawLoss(C), ECMLoss([3, 2, 1], 1.0)],
)
def test_foreground_scores_are_the_scores_without_background(loss):
    logits = torch.randn(4, loss.num_logits)
    assert torch.equal(loss.foreground_scores(logits), loss.scores(logits)[:, :C])


def test_foreground_scores_of_joint_losses_take_maps():
    maps = torch.randn(2, 5, 7, C)
    assert torch.equal(FocalLoss(C).foreground_scores(maps), maps.sigmoid())


def test_inputs_find_foreground_and_ignored_rows():
    logits = torch.randn(5, C, dtype=torch.float16, requires_grad=True)
    labels = torch.tensor([C, 2, IGNORED, 0, C])
    ious = torch.tensor([0.5, 0.25], requires_grad=True)
    x = check_joint_inputs(logits, labels, ious, torch.ones(2), C)
    assert x.is_ignored.tolist() == [False, False, True, False, False]
    assert x.rows.tolist() == [1, 3] and x.classes.tolist() == [2, 0]
    assert x.ious.tolist() == [0.5, 0.25] and not x.ious.requires_grad
    assert x.logits.dtype == x.ious.dtype == torch.float32 and x.logits.requires_grad
    assert x.guard == 0


def test_inputs_that_are_not_numbers_reach_the_guard():
    logits, labels = torch.zeros(2, C), torch.tensor([0, IGNORED])
    broken = logits.clone()
    broken[1, 0] = torch.nan
    assert check_joint_inputs(broken, labels, torch.ones(1), torch.ones(1), C).guard.isnan()
    assert check_joint_inputs(
        logits, labels, torch.tensor([torch.nan]), torch.ones(1), C
    ).guard.isnan()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": torch.zeros(3, C + 1)}, r"logits must have shape \(N, 3\)"),
        ({"labels": torch.tensor([0, 1])}, r"labels must have shape \(3,\)"),
        ({"labels": torch.tensor([0, -2, 1])}, r"labels contains -2, outside \[0, 3\]"),
        ({"ious": torch.ones(3)}, r"ious must have shape \(2,\), one per foreground row"),
        ({"box_losses": torch.ones(2, 4)}, r"box_losses must have shape \(2,\)"),
    ],
)
def test_bad_inputs_are_named(changes, message):
    inputs = {
        "logits": torch.zeros(3, C),
        "labels": torch.tensor([0, C, 1]),
        "ious": torch.ones(2),
        "box_losses": torch.ones(2),
    }
    with pytest.raises(ValueError, match=message):
        check_joint_inputs(**{**inputs, **changes}, num_classes=C)
