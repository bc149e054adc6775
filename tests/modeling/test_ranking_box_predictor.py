import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from losses.ranking_modules import MODULES
from modeling.slow_heads import predictor_rows, slow_losses
from support.tiny_two_stage import NUM_CLASSES, make_predictor

from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.losses.ranking import score_weights
from rankdet.modeling.normed_layers import NormedLinear

BACKGROUND = NUM_CLASSES
LABELS = [[0, 3, 3, 2], [3, 3], [2, -1, 1, 3, 0]]  # the second image has no annotations
modules = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


def make_proposals(labels=LABELS):
    """One image per list; ground truth is at an offset that grows with the row."""
    images = []
    for image_labels in labels:
        rows = torch.arange(len(image_labels), dtype=torch.float32).reshape(-1, 1)
        boxes = torch.cat([rows + 4, 2 * rows + 3, rows + 24, rows + 30], dim=1)
        image = Instances((64, 64), proposal_boxes=Boxes(boxes))
        image.gt_classes = torch.tensor(image_labels, dtype=torch.int64)
        if any(0 <= label < BACKGROUND for label in image_labels):
            image.gt_boxes = Boxes(boxes + rows + torch.tensor([1.0, 0.0, 3.0, -2.0]))
        images.append(image)
    return images


def random_predictions(count, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, NUM_CLASSES, generator=generator)
    deltas = torch.randn(count, columns, generator=generator)
    return logits.requires_grad_(), deltas.requires_grad_()


def run_losses(predictor, predictions, proposals):
    with EventStorage() as storage:
        return predictor.losses(predictions, proposals), storage


@modules
@pytest.mark.parametrize("is_agnostic", [True, False], ids=["agnostic", "specific"])
def test_equals_a_computation_one_proposal_at_a_time(make, is_agnostic):
    predictor = make_predictor(make(NUM_CLASSES).eval(), cls_agnostic_bbox_reg=is_agnostic)
    proposals = make_proposals()
    predictions = random_predictions(11, 4 if is_agnostic else 4 * NUM_CLASSES)
    losses, _ = run_losses(predictor, predictions, proposals)
    rows = predictor_rows(predictor, predictions, proposals)
    expected, surrogate = slow_losses(predictor.loss, rows, predictor.box2box_transform)
    assert {name: x.item() for name, x in losses.items()} == pytest.approx(expected, rel=1e-5)
    actual = torch.autograd.grad(sum(losses.values()), predictions)
    for gradient, slow in zip(actual, torch.autograd.grad(surrogate, predictions), strict=True):
        torch.testing.assert_close(gradient, slow, rtol=1e-4, atol=1e-6)


@modules
def test_a_decoded_box_that_misses_keeps_its_row_a_positive(make):
    predictor = make_predictor(make(NUM_CLASSES).eval(), cls_agnostic_bbox_reg=True)
    logits, deltas = random_predictions(2, 4)
    deltas = torch.tensor([[90.0, 0, 0, 0], [0, 0, 0, 0]], requires_grad=True)  # 9 widths away
    losses, _ = run_losses(predictor, (logits, deltas), make_proposals([[1, BACKGROUND]]))
    sum(losses.values()).backward()
    assert losses["loss_box_reg"] > 0 and deltas.grad[0].abs().sum() > 0
    others = [*logits[1].tolist(), *logits[0, [0, 2]].tolist()]
    assert max(others) > logits[0, 1] - 0.5  # so that there is something to outrank
    assert logits.grad[0, 1] < 0


@modules
@pytest.mark.parametrize("labels", [[[], []], [[3, 3], [3]], [[-1]]], ids=["none", "bg", "-1"])
def test_without_foreground_every_layer_gets_a_zero_gradient(make, labels):
    predictor = make_predictor(make(NUM_CLASSES))
    features = torch.randn(sum(map(len, labels)), 16)
    losses, _ = run_losses(predictor, predictor(features), make_proposals(labels))
    sum(losses.values()).backward()
    assert all(x == 0 for x in losses.values())
    assert all((p.grad == 0).all() for p in predictor.parameters())


def test_proposals_carry_their_score_weights():
    predictor, proposals = make_predictor(RankSortLoss(NUM_CLASSES)), make_proposals()
    logits, deltas = random_predictions(11, 4 * NUM_CLASSES)
    run_losses(predictor, (logits, deltas), proposals)
    weights = torch.cat([image.score_weights for image in proposals])
    assert torch.equal(weights, score_weights(logits)) and not weights.requires_grad


def test_loss_weight_multiplies_all_parts():
    predictions = random_predictions(11, 4 * NUM_CLASSES)
    one, half = (
        run_losses(
            make_predictor(RankSortLoss(NUM_CLASSES), loss_weight=weight),
            predictions,
            make_proposals(),
        )[0]
        for weight in (1.0, 0.5)
    )
    for name, value in one.items():
        torch.testing.assert_close(half[name], value / 2)


@modules
def test_autocast_computes_the_losses_in_float32(make):
    predictor = make_predictor(make(NUM_CLASSES).eval())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictions = predictor(torch.randn(11, 16))
        losses, _ = run_losses(predictor, predictions, make_proposals())
    assert predictions[0].dtype == torch.bfloat16
    wide = tuple(x.detach().float() for x in predictions)
    expected, _ = run_losses(predictor, wide, make_proposals())
    for name, value in losses.items():
        assert value.dtype == torch.float32 and torch.equal(value, expected[name])


def test_cosine_classifier_and_prior():
    predictor = make_predictor(
        RankSortLoss(NUM_CLASSES), classifier=NormedLinear.with_temperature(20.0), prior_prob=0.01
    )
    assert isinstance(predictor.cls_score, NormedLinear)
    assert predictor.cls_score.weight.shape == (NUM_CLASSES, 16)
    torch.testing.assert_close(predictor.cls_score.bias.sigmoid(), torch.full((3,), 0.01))
    losses, _ = run_losses(predictor, predictor(torch.randn(11, 16)), make_proposals())
    losses["loss_rank"].backward()
    assert predictor.cls_score.weight.grad.abs().sum() > 0


def test_settings_reach_the_parent():
    settings = {"test_score_thresh": 0.3, "test_nms_thresh": 0.7, "test_topk_per_image": 7}
    predictor = make_predictor(RankSortLoss(NUM_CLASSES), cls_agnostic_bbox_reg=True, **settings)
    assert {name: getattr(predictor, name) for name in settings} == settings
    assert predictor.bbox_pred.out_features == 4


def test_inference_gives_sigmoid_scores():
    predictor = make_predictor(RankSortLoss(NUM_CLASSES), test_nms_thresh=1.0).eval()
    logits, deltas = random_predictions(2, 4 * NUM_CLASSES)
    (detections,), _ = predictor.inference((logits, deltas), make_proposals([[0, 1]]))
    expected = logits.sigmoid().flatten().sort(descending=True).values
    torch.testing.assert_close(detections.scores, expected)


def test_alrp_logs_its_balance():
    predictor = make_predictor(ALRPLoss(NUM_CLASSES))
    predictions = random_predictions(11, 4 * NUM_CLASSES)
    losses, storage = run_losses(predictor, predictions, make_proposals())
    logged = {name: value for name, (value, _) in storage.latest().items()}
    assert logged["roi_head/box_weight"] == 50
    plain = logged["roi_head/unbalanced_loss_box_reg"]
    assert 50 * plain == pytest.approx(losses["loss_box_reg"].item())


@pytest.mark.parametrize("field", [0, 1], ids=["logits", "deltas"])
def test_nan_predictions_surface(field):
    predictor = make_predictor(RankSortLoss(NUM_CLASSES))
    predictions = [x.detach().clone() for x in random_predictions(11, 4 * NUM_CLASSES)]
    predictions[field][0] = torch.nan
    losses, _ = run_losses(predictor, predictions, make_proposals())
    assert not torch.isfinite(sum(losses.values()))


def test_another_number_of_classes_is_named():
    with pytest.raises(ValueError, match="num_classes is 3, but the loss was built for 2"):
        make_predictor(RankSortLoss(2))
