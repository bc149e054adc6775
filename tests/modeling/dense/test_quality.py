"""Centerness and predicted IoU: targets, weights of boxes, scores."""

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from detectron2.modeling.meta_arch import FCOS
from detectron2.structures import Boxes
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rankdet.modeling.dense.quality import Centerness, PredictedIoU, mean_one_over_ranks


class Targets(nn.Module):
    compute_ctrness_targets = FCOS.compute_ctrness_targets
    box2box_transform = Box2BoxTransformLinear()


def boxes_around(count, seed=0):
    """Anchors, and boxes that hold their centers."""
    generator = torch.Generator().manual_seed(seed)
    centers = 100 * torch.rand(count, 2, generator=generator)
    sides = 0.1 + 30 * torch.rand(count, 4, generator=generator)
    anchors = torch.cat([centers - 4, centers + 4], dim=1)
    gt_boxes = torch.cat([centers - sides[:, :2], centers + sides[:, 2:]], dim=1)
    return anchors, gt_boxes, torch.rand(count, generator=generator)


@given(seed=st.integers(0, 1000))
def test_centerness_is_detectron2_s(seed):
    anchors, gt_boxes, ious = boxes_around(5, seed)
    expected = Targets().compute_ctrness_targets([Boxes(anchors)], [gt_boxes])[0]
    torch.testing.assert_close(Centerness().targets(anchors, gt_boxes, ious), expected)


def test_centerness_from_the_center_to_the_outside():
    anchors = torch.tensor([[8.0, 8, 12, 12], [3.0, 8, 7, 12], [-2.0, 8, 2, 12], [20.0, 8, 24, 12]])
    gt_boxes = torch.tensor([[0.0, 0, 20, 20]]).expand(4, 4)
    targets = Centerness().targets(anchors, gt_boxes, torch.zeros(4))
    torch.testing.assert_close(targets, torch.tensor([1.0, (5 / 15) ** 0.5, 0.0, 0.0]))
    empty = torch.zeros(1, 4)
    assert Centerness().targets(empty, empty, torch.zeros(1)) == 0


def test_predicted_iou_is_the_iou():
    anchors, gt_boxes, ious = boxes_around(5)
    assert torch.equal(PredictedIoU().targets(anchors, gt_boxes, ious), ious)


@pytest.mark.parametrize("quality", [Centerness(), PredictedIoU()], ids=lambda x: type(x).__name__)
def test_loss_and_weights(quality):
    boxes = boxes_around(6)
    logits = torch.linspace(-2, 2, 6, requires_grad=True)
    weights, loss = quality(logits, *boxes)
    targets = quality.targets(*boxes)
    torch.testing.assert_close(weights, targets / targets.mean())
    scores = logits.sigmoid()
    slow = -(targets * scores.log() + (1 - targets) * (1 - scores).log()).mean()
    torch.testing.assert_close(loss, slow)
    assert not weights.requires_grad


def test_the_weight_scales_the_loss_alone():
    logits, boxes = torch.tensor([0.3, -0.2]), boxes_around(2)
    (weights, loss), (same, half) = (
        PredictedIoU(loss_weight)(logits, *boxes) for loss_weight in (1.0, 0.5)
    )
    assert torch.equal(weights, same) and loss > 0
    torch.testing.assert_close(half, loss / 2)


def test_a_negative_weight_is_named():
    with pytest.raises(ValueError, match="loss_weight is -1; give a number >= 0"):
        Centerness(loss_weight=-1)
    with pytest.raises(ValueError, match="smallest_sum is -1; give a number >= 0"):
        Centerness(smallest_sum=-1)


def test_without_foreground_the_loss_is_zero_and_connected():
    logits = torch.zeros(0, requires_grad=True)
    weights, loss = Centerness()(logits, *boxes_around(0))
    loss.backward()
    assert weights.shape == (0,) and loss == 0 and logits.grad is not None


@pytest.mark.parametrize(("smallest", "divisor"), [(0.0, 0.5), (0.25, 0.5), (1.0, 1.0)])
def test_the_smallest_sum_of_weights(smallest, divisor):
    """Targets 0.2 and 0.3: their mean becomes 1, unless the sum of 0.5 is too small."""
    values = torch.tensor([0.2, 0.3])
    weights, num_values = mean_one_over_ranks(values, smallest)
    torch.testing.assert_close(weights, values * 2 / divisor)
    boxes = boxes_around(2)
    same, fewer = (Centerness(smallest_sum=x)(torch.zeros(2), *boxes)[0] for x in (0.0, 8.0))
    torch.testing.assert_close(fewer, same * Centerness().targets(*boxes).sum() / 8)
    assert num_values == 2


def test_the_smallest_sum_is_that_of_each_rank(monkeypatch):
    """Two ranks with 0.2 and 0.3 each have a sum of 1.0 together; 0.8 on each asks for 1.6."""
    monkeypatch.setattr("rankdet.modeling.dense.quality.sum_over_ranks_", lambda x: 2 * x)
    values = torch.tensor([0.2, 0.3])
    for smallest, divisor in ((0.5, 1.0), (0.8, 1.6)):
        weights, num_values = mean_one_over_ranks(values, smallest)
        torch.testing.assert_close(weights, values * 4 / divisor)
        assert num_values == 2


def test_weights_of_boxes_that_all_count_zero_are_finite():
    weights, num_values = mean_one_over_ranks(torch.zeros(3))
    assert torch.equal(weights, torch.zeros(3)) and num_values == 3


def test_scores_are_geometric_means():
    scores = torch.tensor([[0.25, 1.0], [0.0, 0.5]])
    actual = Centerness().scores(scores, torch.tensor([[0.0], [100.0]]))
    expected = torch.tensor([[0.125**0.5, 0.5**0.5], [0.0, 0.5**0.5]])
    torch.testing.assert_close(actual, expected)
