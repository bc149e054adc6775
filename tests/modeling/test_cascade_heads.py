from math import ceil

import pytest
import torch
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from losses.ranking_modules import MODULES
from modeling.cascade_toy import TARGETS, make_inputs, make_released, recorded_labels, run
from modeling.slow_cascade import slow_detections, slow_losses, slow_scores
from support.tiny_two_stage import (
    CHANNELS,
    NUM_CLASSES,
    SIZE,
    make_cascade_heads,
    make_detector,
    make_image,
    make_predictor,
    make_targets,
)

from rankdet.losses import ECMLoss, SigmoidBCELoss
from rankdet.modeling.calibration import NorCal


@pytest.mark.parametrize("classes", [TARGETS, [[], []]], ids=["objects", "background"])
def test_losses_and_gradients_equal_a_loop_over_proposals(classes):
    roi_heads, inputs = make_released(), make_inputs(classes)
    losses = run(roi_heads, inputs)[1]
    expected, rows = slow_losses(roi_heads, *inputs)
    assert losses.keys() == expected.keys() and len(losses) == 3 * 3
    if classes == TARGETS:
        numbers = [sum(row.gt is not None for row in of_stage) for of_stage in rows]
        assert len(set(numbers)) > 1 and all(value > 0 for value in losses.values())
    parameters = [inputs[0]["p3"], *roi_heads.parameters()]
    gradients = []
    for values in (losses, expected):
        total = sum(value for value in values.values() if torch.is_tensor(value))
        gradients.append(torch.autograd.grad(total, parameters, allow_unused=True))
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], torch.as_tensor(value), check_dtype=False)
    for actual, slow in zip(*gradients, strict=True):
        slow = torch.zeros_like(actual) if slow is None else slow
        torch.testing.assert_close(actual, slow, rtol=1e-4, atol=1e-6)


def test_detections_equal_a_loop_over_proposals():
    roi_heads = make_released({"test_score_thresh": 0.15, "test_topk_per_image": 12}.items())
    features, proposals, _ = make_inputs()
    detections, losses = run(roi_heads.eval(), (features, proposals))
    assert not losses
    for number, (image, of_image) in enumerate(zip(detections, proposals, strict=True)):
        expected = slow_detections(roi_heads, features, number, of_image)
        assert len(image) == len(expected) > 0
        scores, classes, boxes, masks = map(list, zip(*expected, strict=True))
        torch.testing.assert_close(image.scores, torch.tensor(scores))
        assert image.pred_classes.tolist() == classes
        torch.testing.assert_close(image.pred_boxes.tensor, torch.stack(boxes))
        torch.testing.assert_close(image.pred_masks[:, 0], torch.stack(masks))


def test_scores_are_those_of_the_last_loss_and_calibration():
    ecm = [ECMLoss([900, 30, 1], foreground_calibration=x) for x in (False, True)]
    calibration = NorCal([9, 3, 1], gamma=0.6)
    stages = [make_predictor(loss, cls_agnostic_bbox_reg=True) for loss in ecm[:1]]
    stages += [make_predictor(ecm[1], cls_agnostic_bbox_reg=True, calibration=calibration)]
    roi_heads = make_cascade_heads(SigmoidBCELoss, box_predictors=stages).eval()
    seen = []
    for stage in roi_heads.box_predictor:
        stage.cls_score.register_forward_hook(lambda module, args, output: seen.append(output))
    detections, _ = run(roi_heads, make_inputs([[0, 2]])[:2])
    expected = calibration(ecm[1].scores(torch.stack(seen).mean(dim=0)))[:, :NUM_CLASSES]
    assert detections[0].scores[0].item() == pytest.approx(expected.max().item())
    assert not torch.allclose(ecm[0].scores(seen[0]), ecm[1].scores(seen[0]))


def test_each_stage_samples_and_has_the_ground_truth_of_its_own():
    roi_heads = make_released(batch_size_per_image=8, positive_fraction=0.25)
    calls = recorded_labels(roi_heads)
    run(roi_heads)
    assert len(calls) == 3
    for of_stage in calls:
        for image, classes in zip(of_stage, TARGETS, strict=True):
            is_object = image.gt_classes < NUM_CLASSES
            assert len(image) <= 8 and is_object.sum() <= 2
            assert bool(classes) == bool(is_object.any())
    images = [[of_stage[number] for of_stage in calls] for number in range(3)]
    for before, after in [(x[stage], x[stage + 1]) for x in images for stage in range(2)]:
        kept = int((~before.is_added).sum())
        assert int((~after.is_added).sum()) <= kept
    with_all = make_released()
    calls = recorded_labels(with_all)
    assert run(with_all)[0] is calls[-1]
    assert [[len(image) for image in of_stage] for of_stage in calls] == [[18, 6, 10]] * 3


def test_added_ground_truth_is_an_object_in_each_stage_and_goes_no_further():
    roi_heads = make_released()
    calls = recorded_labels(roi_heads)
    run(roi_heads)
    for of_stage in calls:
        for image, target in zip(of_stage, make_inputs()[2], strict=True):
            added = image[image.is_added]
            assert torch.equal(added.proposal_boxes.tensor, target.gt_boxes.tensor)
            assert added.gt_classes.tolist() == target.gt_classes.tolist()


def test_empty_refined_boxes_are_background():
    roi_heads = make_released()
    first = roi_heads.box_predictor[0].bbox_pred
    torch.nn.init.zeros_(first.weight)
    first.bias.data.copy_(torch.tensor([1e4, 0.0, 0.0, 0.0]))  # Out of the image.
    calls = recorded_labels(roi_heads)
    losses = run(roi_heads)[1]
    assert all(torch.isfinite(value) for value in losses.values())
    for image in calls[1]:
        refined = image[~image.is_added]
        assert (refined.proposal_boxes.area() == 0).all() and len(refined) >= 6
        assert (refined.gt_classes == NUM_CLASSES).all()


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_masks_of_each_stage_are_balanced_against_its_ranking(make):
    torch.manual_seed(0)
    roi_heads = make_cascade_heads(lambda n: make(n).eval())
    weights = []
    for stage, mask_head in enumerate(roi_heads.mask_head):
        mask_head.register_forward_pre_hook(
            lambda module, args, stage=stage: weights.append((stage, args[1]))
        )
    calls = recorded_labels(roi_heads)
    losses = run(roi_heads)[1]
    assert [stage for stage, _ in weights] == [0, 1]
    for (_, foreground), of_stage in zip(weights, calls, strict=True):
        for image, labeled in zip(foreground, of_stage, strict=True):
            expected = labeled.score_weights[labeled.gt_classes < NUM_CLASSES]
            assert torch.equal(image.score_weights, expected)
    if "loss_sort_stage0" in losses:
        for stage in range(2):
            value = losses[f"loss_rank_stage{stage}"] + losses[f"loss_sort_stage{stage}"]
            torch.testing.assert_close(losses[f"loss_mask_stage{stage}"], value)
        assert losses["loss_mask_stage0"] != losses["loss_mask_stage1"]


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_a_detector_trains_in_every_stage(make):
    model = make_detector(make, make_cascade_heads)
    with EventStorage():
        losses = model([make_image([0, 1], seed=1), make_image([2], seed=2), make_image([])])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_batch_without_annotations_gives_zero_losses_and_gradients():
    model = make_detector(MODULES["RS"], make_cascade_heads)
    with EventStorage():
        losses = model([make_image([], seed=1), make_image([], seed=2)])
    assert all(x == 0 for x in losses.values())
    sum(losses.values()).backward()
    assert all((p.grad == 0).all() for p in model.parameters())


@pytest.mark.gpu
def test_a_detector_trains_on_cuda_under_autocast():
    model = make_detector(MODULES["RS"], make_cascade_heads).cuda()
    with EventStorage(), torch.autocast("cuda", dtype=torch.float16):
        losses = model([make_image([0, 1], seed=1), make_image([], seed=3)])
    assert all(x.dtype == torch.float32 and torch.isfinite(x) for x in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_loss_of_a_stage_balances_its_masks():
    torch.manual_seed(0)
    losses = [SigmoidBCELoss(NUM_CLASSES), MODULES["RS"](NUM_CLASSES)]
    stages = [make_predictor(loss, cls_agnostic_bbox_reg=True) for loss in losses]
    found = run(make_cascade_heads(SigmoidBCELoss, box_predictors=stages))[1]
    expected = found["loss_rank_stage1"] + found["loss_sort_stage1"]
    torch.testing.assert_close(found["loss_mask_stage1"], expected)


def test_mask_weight_of_a_stage_survives_balancing():
    """In the RS release a stage's weight is that of all its losses."""
    torch.manual_seed(0)
    roi_heads = make_cascade_heads(MODULES["RS"])
    before = run(roi_heads)[1]
    roi_heads.box_predictor[1].loss_weight = 0.25
    after = run(roi_heads)[1]
    for name, value in before.items():
        torch.testing.assert_close(after[name], value * (0.25 if "stage1" in name else 1.0))


def test_one_stage_on_all_proposals_is_detectron2s():
    torch.manual_seed(0)
    parts = {"num_stages": 1, "mask_in_features": None, "mask_pooler": None, "mask_heads": None}
    ours = make_cascade_heads(SigmoidBCELoss, **parts)
    theirs = CascadeROIHeads(
        box_in_features=["p3"],
        box_pooler=ours.box_pooler,
        box_heads=ours.box_head,
        box_predictors=ours.box_predictor,
        proposal_matchers=ours.proposal_matchers,
        num_classes=NUM_CLASSES,
        batch_size_per_image=100,
        positive_fraction=1.0,
    )
    features, proposals, targets = make_inputs()
    with_logits = [
        Instances((SIZE, SIZE), **image.get_fields(), objectness_logits=torch.zeros(len(image)))
        for image in proposals
    ]
    expected = run(theirs, (features, with_logits, targets))[1]
    losses = run(ours, (features, proposals, targets))[1]
    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_statistics_are_logged_by_stage():
    with EventStorage() as storage:
        make_released()(None, *make_inputs())
    for stage in range(3):
        assert storage.latest()[f"stage{stage}/roi_head/num_fg_samples"][0] > 0
        assert f"stage{stage}/fast_rcnn/cls_accuracy" in storage.latest()


def test_a_detector_detects_with_masks_and_without():
    model = make_detector(SigmoidBCELoss, make_cascade_heads).eval()
    images = [make_image([0, 1], seed=1), make_image([], seed=3)]
    for result in model(images):
        masks = result["instances"].pred_masks
        assert masks.shape[1:] == (SIZE, SIZE) and len(masks) > 0
    model.roi_heads.mask_on = False
    assert not any(result["instances"].has("pred_masks") for result in model(images))


def test_scores_of_the_mean_differ_from_the_mean_of_scores():
    """Else the tests above could not tell Detectron2's average from this one."""
    roi_heads = make_released()
    features, (image,), _ = make_inputs([[0, 2]])
    box = image.proposal_boxes.tensor[0]
    scores, _ = slow_scores(roi_heads, features, 0, box, image.image_size)
    assert scores.sum().item() == pytest.approx(1.0)
    stages = [roi_heads._predict(k, features, [image])[0][0] for k in range(3)]
    assert not torch.allclose(scores, torch.stack(stages).softmax(dim=1).mean(dim=0), atol=1e-3)


def test_sampling_takes_what_the_fraction_allows():
    """Of 40 proposals near one object, a quarter of 16 is foreground, as in Detectron2."""
    target = make_targets([1], seed=2)
    boxes = Boxes(torch.cat([target.gt_boxes.tensor.expand(20, 4), torch.rand(20, 4).cumsum(1)]))
    image = Instances((SIZE, SIZE), proposal_boxes=boxes)
    roi_heads = make_released(batch_size_per_image=16, positive_fraction=0.25)
    calls = recorded_labels(roi_heads)
    run(roi_heads, ({"p3": torch.randn(1, CHANNELS, 6, 6)}, [image], [target]))
    labels = calls[0][0].gt_classes
    assert len(labels) == 16 and int((labels < NUM_CLASSES).sum()) == ceil(16 / 4)
