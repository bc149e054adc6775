import pytest
import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from losses.ranking_modules import MODULES
from modeling.slow_heads import predictor_rows, slow_losses
from support.tiny_two_stage import (
    CHANNELS,
    NUM_CLASSES,
    SIZE,
    STRIDE,
    make_cascade,
    make_detector,
    make_heads,
    make_image,
    make_targets,
)

from rankdet.losses import SigmoidBCELoss

modules = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
heads = pytest.mark.parametrize("make_roi_heads", [make_heads, make_cascade])
TARGETS = [[0, 2, 1], [], [1]]


def make_inputs(classes=TARGETS):
    """Features, proposals around and beside the ground truth, and the ground truth."""
    generator = torch.Generator().manual_seed(3)
    targets = [make_targets(image, seed) for seed, image in enumerate(classes)]
    proposals = []
    for image in targets:
        beside = torch.tensor([[0.0, 0, 9, 9], [30, 2, 47, 20], [3, 30, 20, 47]])
        moved = image.gt_boxes.tensor + torch.tensor([2.0, 1, 2, -1])
        boxes = Boxes(torch.cat([beside, moved]))
        proposals.append(
            Instances((SIZE, SIZE), proposal_boxes=boxes, objectness_logits=torch.zeros(len(boxes)))
        )
    shape = (len(classes), CHANNELS, SIZE // STRIDE, SIZE // STRIDE)
    return {"p3": torch.randn(shape, generator=generator)}, proposals, targets


def run(roi_heads, classes=TARGETS):
    with EventStorage():
        return roi_heads(None, *make_inputs(classes))


def record_calls(predictor):
    """List that fills with the (predictions, proposals) that a predictor's losses were made of."""
    calls, losses = [], predictor.losses
    predictor.losses = lambda *args: calls.append(args) or losses(*args)
    return calls


def test_all_proposals_and_the_ground_truth_are_ranked():
    torch.manual_seed(0)
    roi_heads = make_heads(MODULES["RS"])
    calls = record_calls(roi_heads.box_predictor)
    run(roi_heads)
    ((_, proposals),) = calls
    assert [len(image) for image in proposals] == [3 + 3 + 3, 3, 3 + 1 + 1]
    assert [image.gt_classes.tolist() for image in proposals] == [
        [3, 3, 3, 0, 2, 1, 0, 2, 1],
        [3, 3, 3],
        [3, 3, 3, 1, 1],
    ]


def test_proposals_that_the_matcher_ignores_are_left_out():
    matcher = Matcher([0.5, 0.95], [0, -1, 1], allow_low_quality_matches=False)
    roi_heads = make_heads(MODULES["RS"], proposal_matcher=matcher)
    calls = record_calls(roi_heads.box_predictor)
    run(roi_heads)
    ((_, proposals),) = calls
    assert [image.gt_classes.tolist() for image in proposals] == [
        [3, 3, 3, 0, 2, 1],
        [3, 3, 3],
        [3, 3, 3, 1],
    ]


def assert_slow_losses(predictor, call, losses, suffix=""):
    rows = predictor_rows(predictor, *call)
    expected, _ = slow_losses(predictor.loss, rows, predictor.box2box_transform)
    actual = {name: losses[name + suffix].item() for name in expected}
    assert actual == pytest.approx(expected, rel=1e-4)


@modules
def test_one_ranking_over_images_proposals_and_classes(make):
    torch.manual_seed(0)
    roi_heads = make_heads(lambda n: make(n).eval())
    calls = record_calls(roi_heads.box_predictor)
    _, losses = run(roi_heads)
    assert_slow_losses(roi_heads.box_predictor, calls[0], losses)


@modules
def test_each_stage_of_a_cascade_ranks_its_own_proposals(make):
    torch.manual_seed(0)
    roi_heads = make_cascade(lambda n: make(n).eval())
    calls = [record_calls(predictor) for predictor in roi_heads.box_predictor]
    _, losses = run(roi_heads)
    for stage, predictor in enumerate(roi_heads.box_predictor):
        assert_slow_losses(predictor, calls[stage][0], losses, f"_stage{stage}")
        assert all(image.has("score_weights") for image in calls[stage][0][1])
    assert roi_heads.box_predictor[0].loss is not roi_heads.box_predictor[1].loss


@pytest.mark.parametrize("make_roi_heads", [make_heads, make_cascade])
def test_masks_are_balanced_against_the_ranking_of_their_proposals(make_roi_heads):
    torch.manual_seed(0)
    suffix = "_stage0" if make_roi_heads is make_cascade else ""
    _, losses = run(make_roi_heads(MODULES["RS"]))
    value = losses[f"loss_rank{suffix}"] + losses[f"loss_sort{suffix}"]
    torch.testing.assert_close(losses["loss_mask"], value)
    torch.manual_seed(0)
    roi_heads = make_roi_heads(MODULES["AP"])
    _, losses = run(roi_heads)
    roi_heads.mask_head.loss_weight = 3.0
    torch.testing.assert_close(run(roi_heads)[1]["loss_mask"], 3 * losses["loss_mask"])


def test_mask_head_takes_the_score_weights_of_its_rois():
    torch.manual_seed(0)
    roi_heads = make_heads(MODULES["RS"])
    seen, forward = [], roi_heads.mask_head.forward
    roi_heads.mask_head.forward = lambda x, y: seen.extend(y) or forward(x, y)
    calls = record_calls(roi_heads.box_predictor)
    run(roi_heads)
    (((logits, _), proposals),) = calls
    labels = torch.cat([image.gt_classes for image in proposals])
    expected = logits[labels < NUM_CLASSES].sigmoid().amax(dim=1)
    torch.testing.assert_close(torch.cat([image.score_weights for image in seen]), expected)


@heads
@modules
def test_a_detector_trains_and_detects_with_every_loss(make, make_roi_heads):
    model = make_detector(make, make_roi_heads)
    images = [make_image([0, 1], seed=1), make_image([2], seed=2), make_image([], seed=3)]
    with EventStorage():
        losses = model(images)
    assert all(torch.isfinite(x) for x in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
    for result in model.eval()(images):
        assert len(result["instances"]) > 0 and result["instances"].has("pred_masks")


@heads
@modules
def test_a_batch_without_annotations_gives_zero_losses_and_gradients(make, make_roi_heads):
    model = make_detector(make, make_roi_heads)
    with EventStorage():
        losses = model([make_image([], seed=1), make_image([], seed=2)])
    assert all(x == 0 for x in losses.values())
    sum(losses.values()).backward()
    assert all((p.grad == 0).all() for p in model.parameters())


@pytest.mark.gpu
@heads
@modules
def test_a_detector_trains_on_cuda_under_autocast(make, make_roi_heads):
    model = make_detector(make, make_roi_heads).cuda()
    with EventStorage(), torch.autocast("cuda", dtype=torch.float16):
        losses = model([make_image([0, 1], seed=1), make_image([], seed=3)])
    assert all(x.dtype == torch.float32 and torch.isfinite(x) for x in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_predictor_without_a_loss_is_named():
    roi_heads = make_heads(MODULES["RS"])
    roi_heads.box_predictor = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"box_predictor is a Linear.*BoxPredictor"):
        run(roi_heads)


@heads
def test_cross_entropy_trains_on_all_proposals_and_leaves_masks_alone(make_roi_heads):
    torch.manual_seed(0)
    roi_heads = make_roi_heads(SigmoidBCELoss)
    _, losses = run(roi_heads)
    suffix = "_stage0" if make_roi_heads is make_cascade else ""
    assert losses[f"loss_cls{suffix}"] > 0 and 0 < losses["loss_mask"] <= 1
