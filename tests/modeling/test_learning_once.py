"""A batch is learned from once, however often an iterative head predicts for it."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage
from modeling.iterative_toy import BASES, NUM_CLASSES, make_batch, make_heads, recorded_steps
from support.loss_tester import learn_and_compute

from rankdet.losses import ECMLoss, PCBLoss, SeesawLoss


@pytest.mark.parametrize("make_loss", [*BASES, lambda n: ECMLoss([9] * n)])
def test_a_loss_without_steps_supervises_every_step_and_learns_once(make_loss):
    roi_heads = make_heads(make_loss(NUM_CLASSES), options={"step_weights": (0.5, 2.0)})
    steps = recorded_steps(roi_heads)
    slow = copy.deepcopy(roi_heads.box_predictor.loss)
    for _ in range(3):
        steps.clear()
        with EventStorage():
            sampled, losses = roi_heads(None, *make_batch())
        labels = torch.cat([image.gt_classes for image in sampled])
        (first, _), (last, _) = steps
        expected = learn_and_compute(slow, last, labels)
        torch.testing.assert_close(losses["loss_cls"], 2.0 * expected)
        torch.testing.assert_close(losses["loss_cls_step0"], 0.5 * slow(first, labels))
    for name, value in roi_heads.box_predictor.loss.state_dict().items():
        torch.testing.assert_close(value, slow.state_dict()[name])


def test_seesaw_below_pcb_counts_each_sample_once():
    loss = PCBLoss(SeesawLoss(NUM_CLASSES), start_epoch=0)
    roi_heads = make_heads(loss)
    with EventStorage():
        sampled, _ = roi_heads(None, *make_batch())
    labels = torch.cat([image.gt_classes for image in sampled])
    assert loss.base.class_counts.tolist() == labels.bincount(minlength=4)[:3].tolist()


def test_a_loss_in_evaluation_mode_learns_nothing():
    loss = SeesawLoss(NUM_CLASSES)
    roi_heads = make_heads(loss, options={"step_weights": (1.0,)})
    loss.eval()
    with EventStorage():
        roi_heads(None, *make_batch())
    assert not loss.class_counts.any()
