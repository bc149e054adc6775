"""Two-stage detectors compute what is in the golden files, and loops still give these."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage
from golden import two_stage_cases as cases
from golden.make_two_stage import FOLDER, MAKERS, make
from support.tiny_two_stage import make_rpn

from rankdet.losses import SigmoidBCELoss
from rankdet.modeling.matching import BestAnchorMatcher

C = cases.NUM_CLASSES


def golden(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def assert_golden(name, found):
    expected = golden(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        actual = torch.as_tensor(found[key]).detach().to(value.dtype)
        torch.testing.assert_close(actual, value, rtol=2e-4, atol=2e-5, msg=f"{name}: {key}")


@pytest.mark.parametrize("name", MAKERS)
def test_loops_give_the_files_again(name):
    assert_golden(name, make(name))


def labeled(heads):
    """The proposals and the ground truth behind them, labeled."""
    with EventStorage():
        return heads.label_and_sample_proposals([cases.proposals()], [cases.target()])


def test_rpn_labels():
    matcher = BestAnchorMatcher([0.3, 0.7], [0, -1, 1], min_iou=0.3)
    rpn = make_rpn(SigmoidBCELoss(1), anchor_matcher=matcher)
    anchors = rpn.anchor_generator([cases.features()["p3"]])
    (labels,), (boxes,) = rpn.label_and_sample_anchors(anchors, [cases.target()])
    gt_boxes = boxes[labels == 1]
    objects = [cases.GT_BOXES.index(box.tolist()) for box in gt_boxes]
    assert_golden("rpn_labels", {"labels": labels, "objects": objects})


def test_roi_labels():
    heads = cases.roi_heads()
    (image,) = labeled(heads)
    foreground = image[image.gt_classes < C]
    deltas = heads.box_predictor.box2box_transform.get_deltas(
        foreground.proposal_boxes.tensor, foreground.gt_boxes.tensor
    )
    assert_golden("roi_labels", {"labels": image.gt_classes, "deltas": deltas})


@pytest.mark.parametrize("name", cases.LOSSES)
def test_box_predictor(name):
    predictor, proposals = cases.box_predictor(name), labeled(cases.roi_heads())
    predictions = predictor(cases.numbers(len(proposals[0]), 16, scale=2.0, seed=3))
    with EventStorage():
        losses = predictor.losses(predictions, proposals)
    scores = predictor.predict_probs(predictions, proposals)[0][:, :C]
    boxes = predictor.predict_boxes(predictions, proposals)[0].reshape(-1, 4)
    assert_golden(f"box_predictor_{name}", {**losses, "scores": scores, "boxes": boxes})


def test_mask_losses():
    (image,) = labeled(cases.roi_heads())
    foreground = image[image.gt_classes < C]
    foreground.score_weights = torch.arange(1.0, len(foreground) + 1)
    x = cases.numbers(len(foreground), cases.CHANNELS, 4, 4, scale=4.0, seed=5)
    with EventStorage():
        found = {
            kind: cases.mask_head(kind)(x, [foreground])["loss_mask"]
            for kind in ("cross_entropy", "dice")
        }
    assert_golden("mask_losses", found)


def run(heads):
    """Losses, and the detections of the image."""
    with EventStorage():
        _, losses = heads.train()(None, cases.features(), [cases.proposals()], [cases.target()])
    (detections,), _ = heads.eval()(None, cases.features(), [cases.proposals()])
    return losses, detections


def test_cascade():
    losses, found = run(cases.cascade())
    outputs = {"scores": found.scores, "classes": found.pred_classes}
    masks = {"boxes": found.pred_boxes.tensor, "masks": found.pred_masks[:, 0]}
    assert_golden("cascade", {**losses, **outputs, **masks})


def test_recurrent_heads():
    heads = cases.recurrent()
    losses, _ = run(heads)
    boxes = Boxes(torch.tensor([*cases.PROPOSALS, *cases.GT_BOXES]))
    steps = heads._predict_steps(heads.box_pooler([cases.features()["p3"]], [boxes]))
    scores = heads.box_predictor.loss.scores(steps[-1][0])[:, :C]
    assert_golden("recurrent", {**losses, "scores": scores})
