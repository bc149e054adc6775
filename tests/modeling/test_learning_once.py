"""A batch is learned from once, however often an iterative head predicts for it."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage
from modeling.iterative_toy import BASES, NUM_CLASSES, make_batch, make_heads, recorded_steps

from rankdet.losses.ecm import ECMLoss
from rankdet.losses.pcb import PCBLoss
from rankdet.losses.soft_targets import SoftTargetSeesawLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss


@pytest.mark.parametrize(
    ("make_loss", "learning_step"),
    [(SoftmaxCrossEntropyLoss, 0), (BASES[1], 1), (BASES[2], 0), (lambda n: ECMLoss([9] * n), 0)],
)
def test_a_loss_without_steps_supervises_every_step_and_learns_once(make_loss, learning_step):
    roi_heads = make_heads(make_loss(NUM_CLASSES), options={"step_weights": (0.5, 2.0)})
    steps = recorded_steps(roi_heads)
    slow = copy.deepcopy(roi_heads.box_predictor.loss)
    for _ in range(3):
        steps.clear()
        with EventStorage():
            sampled, losses = roi_heads(None, *make_batch())
        labels = torch.cat([image.gt_classes for image in sampled])
        expected = [
            slow.train(step == learning_step)(logits, labels)
            for step, (logits, _) in enumerate(steps)
        ]
        torch.testing.assert_close(losses["loss_cls_step0"], 0.5 * expected[0])
        torch.testing.assert_close(losses["loss_cls"], 2.0 * expected[1])
    for name, value in roi_heads.box_predictor.loss.state_dict().items():
        torch.testing.assert_close(value, slow.state_dict()[name])


def test_seesaw_below_pcb_counts_each_sample_once():
    loss = PCBLoss(SoftTargetSeesawLoss(NUM_CLASSES), num_steps=3, start_epoch=0)
    roi_heads = make_heads(loss)
    with EventStorage():
        sampled, _ = roi_heads(None, *make_batch())
    labels = torch.cat([image.gt_classes for image in sampled])
    assert loss.base.class_counts.tolist() == labels.bincount(minlength=4)[:3].tolist()
