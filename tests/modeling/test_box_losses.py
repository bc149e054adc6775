"""Losses of single boxes sum up to Detectron2's."""

import pytest
import torch
from detectron2.modeling.box_regression import (
    Box2BoxTransform,
    Box2BoxTransformLinear,
    _dense_box_regression_loss,
)
from detectron2.structures import Boxes
from torchvision.ops import box_iou

from rankdet.modeling.box_losses import GIoUBoxLoss, L1BoxLoss, SmoothL1BoxLoss

TRANSFORMS = {
    "center and size": Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
    "distances": Box2BoxTransformLinear(),
}
LOSSES = {
    "GIoU": (GIoUBoxLoss(), dict(box_reg_loss_type="giou")),
    "L1": (L1BoxLoss(), dict(smooth_l1_beta=0.0)),
    "smooth L1": (SmoothL1BoxLoss(beta=1.0), dict(smooth_l1_beta=1.0)),
}
transforms = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
losses = pytest.mark.parametrize(("box_loss", "options"), LOSSES.values(), ids=LOSSES)


def random_boxes(count):
    generator = torch.Generator().manual_seed(0)
    anchors = 8.0 + torch.arange(2 * count).view(count, 2) % 16
    anchors = torch.cat([anchors, anchors + 16], dim=1)
    gt_boxes = anchors + 4 * torch.rand(count, 4, generator=generator)
    return anchors, gt_boxes, torch.rand(count, 4, generator=generator, requires_grad=True)


@transforms
@losses
def test_sum_and_gradient_are_detectron2_s(transform, box_loss, options):
    anchors, gt_boxes, deltas = random_boxes(7)
    _, actual = box_loss(deltas, anchors, gt_boxes, transform)
    every = torch.ones(1, 7, dtype=torch.bool)
    expected = _dense_box_regression_loss(
        [Boxes(anchors)], transform, [deltas[None]], [gt_boxes], every, **options
    )
    torch.testing.assert_close(actual.sum(), expected)
    gradients = [torch.autograd.grad(x, deltas)[0] for x in (actual.sum(), expected)]
    torch.testing.assert_close(*gradients)


@transforms
@losses
def test_ious_are_those_of_the_decoded_boxes(transform, box_loss, options):
    anchors, gt_boxes, deltas = random_boxes(7)
    ious, _ = box_loss(deltas, anchors, gt_boxes, transform)
    decoded = transform.apply_deltas(deltas, anchors)
    torch.testing.assert_close(ious, box_iou(decoded, gt_boxes).diagonal().detach())
    assert not ious.requires_grad


@transforms
@losses
def test_half_precision_is_widened(transform, box_loss, options):
    anchors, gt_boxes, deltas = random_boxes(7)
    half = deltas.detach().half()
    for actual, expected in zip(
        box_loss(half, anchors, gt_boxes, transform),
        box_loss(half.float(), anchors, gt_boxes, transform),
        strict=True,
    ):
        assert actual.dtype == torch.float32 and torch.equal(actual, expected)


@transforms
@losses
def test_without_foreground_there_is_nothing_to_sum(transform, box_loss, options):
    anchors, gt_boxes, deltas = random_boxes(0)
    ious, box_losses = box_loss(deltas, anchors, gt_boxes, transform)
    assert ious.shape == box_losses.shape == (0,)


@transforms
def test_giou_has_a_weight(transform):
    anchors, gt_boxes, deltas = random_boxes(7)
    (ious, box_losses), (same, tenfold) = (
        GIoUBoxLoss(weight)(deltas, anchors, gt_boxes, transform) for weight in (1.0, 10.0)
    )
    assert torch.equal(ious, same)
    torch.testing.assert_close(tenfold, 10 * box_losses)
    with pytest.raises(ValueError, match="weight is -1; give a number >= 0"):
        GIoUBoxLoss(-1)


@pytest.mark.parametrize("beta", [-1.0, float("nan")])
def test_a_width_that_is_none_is_named(beta):
    with pytest.raises(ValueError, match=f"beta is {beta}; give a width in units of the deltas"):
        SmoothL1BoxLoss(beta)
