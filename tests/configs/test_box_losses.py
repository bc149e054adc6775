"""Box losses of experiments are normalized as in their releases."""

import math

import pytest
import torch
from detectron2.config import instantiate

from rankdet import model_zoo

GT_BOXES = torch.tensor([[10.0, 20, 60, 90], [5.0, 5, 25, 15], [40.0, 40, 48, 120]])
ANCHORS = torch.tensor([[12.0, 15, 66, 80], [0.0, 4, 16, 20], [36.0, 50, 58, 94]])
DELTAS = torch.tensor([[0.3, -0.2, 1.5, 0.0], [2.0, 0.1, -0.4, 0.2], [-1.0, 0.5, 0.0, 3.0]])


def released_smooth_l1(deltas, anchors, gt_boxes):
    """One coordinate at a time: deltas in tenths and fifths, beta 1, mean of all coordinates."""
    losses = []
    for delta, anchor, gt in zip(deltas, anchors, gt_boxes, strict=True):
        for axis in range(2):
            size, gt_size = anchor[axis + 2] - anchor[axis], gt[axis + 2] - gt[axis]
            offset = (gt[axis] + gt[axis + 2] - anchor[axis] - anchor[axis + 2]) / 2
            errors = [
                delta[axis] - offset / size / 0.1,
                delta[axis + 2] - math.log(gt_size / size) / 0.2,
            ]
            losses += [0.5 * x * x if abs(x) < 1 else abs(x) - 0.5 for x in errors]
    assert len(losses) == 4 * len(deltas)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [-4.0, 0.0, 4.0]])
def test_retinanet_with_ap_loss_has_the_mean_over_boxes_and_coordinates(scores):
    model = model_zoo.get_config("coco/retinanet_r50_fpn_100ep_ap.py").model
    loss = instantiate({**model.loss, "num_classes": 1})
    transform, box_loss = instantiate(model.box2box_transform), instantiate(model.box_loss)
    ious, box_losses = box_loss(DELTAS, ANCHORS, GT_BOXES, transform)
    logits = torch.tensor(scores)[:, None].requires_grad_()
    losses = loss.losses(logits, torch.tensor([0, 0, 0]), ious, box_losses)
    expected = released_smooth_l1(DELTAS.tolist(), ANCHORS.tolist(), GT_BOXES.tolist())
    assert losses["loss_box_reg"].item() == pytest.approx(expected, rel=1e-5)
