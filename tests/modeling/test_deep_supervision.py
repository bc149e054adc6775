"""PCB's baseline DSN, and the losses of its table 4, in the iterative heads."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from modeling.iterative_toy import CHANNELS, NUM_CLASSES, make_batch, make_heads, make_pcb, run
from torch.nn.functional import conv2d

from rankdet.losses.label_smoothing import LabelSmoothingLoss, OnlineLabelSmoothingLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss
from rankdet.modeling.iterative_head import DeepSupervision

WEIGHTS = (0.2, 0.2, 0.6)


def make_dsn(loss):
    torch.manual_seed(2)
    return make_heads(loss, options={"refinement": DeepSupervision})


def test_each_step_is_one_layer_deeper_and_sees_no_predictions():
    roi_heads = make_dsn(SoftmaxCrossEntropyLoss(NUM_CLASSES)).double()
    features = torch.randn(5, CHANNELS, 3, 3, dtype=torch.float64)
    conv = roi_heads.refinement.conv
    for logits, deltas in roi_heads._predict_steps(features):
        expected = roi_heads.box_predictor(roi_heads.box_head(features))
        torch.testing.assert_close((logits, deltas), expected, rtol=1e-10, atol=1e-12)
        features = conv2d(features, conv.weight, conv.bias, padding=1).clamp(min=0)
    assert not torch.equal(logits, roi_heads._predict_steps(features)[0][0])


@pytest.mark.parametrize("make_loss", [SoftmaxCrossEntropyLoss, LabelSmoothingLoss])
def test_every_depth_has_the_plain_loss_by_its_weight(make_loss):
    roi_heads, steps = make_dsn(make_loss(NUM_CLASSES)), []
    roi_heads.box_predictor.register_forward_hook(lambda module, args, out: steps.append(out))
    with EventStorage():
        sampled, losses = roi_heads(None, *make_batch())
    labels = torch.cat([image.gt_classes for image in sampled])
    names = ["loss_cls_step0", "loss_cls_step1", "loss_cls"]
    assert set(losses) == {*names, "loss_box_reg"}
    for name, weight, (logits, _) in zip(names, WEIGHTS, steps, strict=True):
        torch.testing.assert_close(
            losses[name], weight * roi_heads.box_predictor.loss(logits, labels)
        )


def test_pcb_trains_in_it_and_every_weight_learns():
    roi_heads = make_dsn(make_pcb())
    run(roi_heads)
    losses = run(roi_heads)
    sum(losses.values()).backward()
    for name, parameter in roi_heads.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.any(), name
    assert all(len(image) > 0 for image in run(roi_heads.eval()))


def test_online_label_smoothing_counts_an_iteration_once():
    loss = OnlineLabelSmoothingLoss(NUM_CLASSES, iterations_per_epoch=2)
    roi_heads = make_heads(loss)
    run(roi_heads)
    assert loss.num_iterations == 1 and (loss.soft_labels == 1 / NUM_CLASSES).all()
