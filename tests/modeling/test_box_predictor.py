import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from rankdet.losses.ecm import ECMLoss
from rankdet.losses.federated import FederatedLoss
from rankdet.losses.sigmoid import SigmoidBCELoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss
from rankdet.modeling.box_losses import GIoUBoxLoss, SmoothL1BoxLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.calibration import NorCal
from rankdet.modeling.normed_layers import NormedLinear

NUM_CLASSES, NUM_FEATURES = 4, 8
LOSSES = {
    "softmax": lambda: SoftmaxCrossEntropyLoss(NUM_CLASSES),
    "sigmoid": lambda: SigmoidBCELoss(NUM_CLASSES),
    "federated": lambda: FederatedLoss([9, 3, 2, 1]),
    "ecm": lambda: ECMLoss([9, 3, 2, 1]),
}
parametrize_losses = pytest.mark.parametrize("make_loss", LOSSES.values(), ids=LOSSES)


def make_predictor(loss, **options):
    return BoxPredictor(
        ShapeSpec(channels=NUM_FEATURES),
        loss=loss,
        num_classes=NUM_CLASSES,
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        **options,
    )


def make_proposals(labels):
    """One image per list of labels; every proposal's ground truth is the box, moved by a pixel."""
    images = []
    for image_labels in labels:
        image = Instances((64, 64))
        count = len(image_labels)
        corner = torch.arange(count, dtype=torch.float32).reshape(-1, 1).expand(-1, 2)
        image.proposal_boxes = Boxes(torch.cat([corner, corner + 20], dim=1))
        if any(label < NUM_CLASSES for label in image_labels):
            image.gt_boxes = Boxes(image.proposal_boxes.tensor + 1)
        image.gt_classes = torch.tensor(image_labels, dtype=torch.int64)
        images.append(image)
    return images


def run_losses(predictor, labels, features=None):
    proposals = make_proposals(labels)
    features = torch.randn(sum(map(len, labels)), NUM_FEATURES) if features is None else features
    with EventStorage() as storage:
        return predictor.losses(predictor(features), proposals), storage


LABELS = [[0, 4, 4], [4, 4], [2, 3, 1, 4]]


@pytest.mark.parametrize("is_agnostic", [True, False], ids=["agnostic", "specific"])
@pytest.mark.parametrize(
    ("box_loss", "box_options"),
    [
        (None, {}),
        (SmoothL1BoxLoss(beta=1.0), {"smooth_l1_beta": 1.0}),
        (GIoUBoxLoss(), {"box_reg_loss_type": "giou"}),
    ],
)
def test_softmax_equals_detectron2(box_loss, box_options, is_agnostic):
    torch.manual_seed(0)
    options = {"cls_agnostic_bbox_reg": is_agnostic}
    ours = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES), box_loss=box_loss, **options)
    theirs = FastRCNNOutputLayers(
        ShapeSpec(channels=NUM_FEATURES),
        num_classes=NUM_CLASSES,
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        test_score_thresh=1e-4,
        test_topk_per_image=300,
        **options,
        **box_options,
    )
    theirs.load_state_dict(ours.state_dict())
    features = torch.randn(9, NUM_FEATURES)
    losses, expected = (run_losses(p, LABELS, features)[0] for p in (ours, theirs))
    for name in expected:
        torch.testing.assert_close(losses[name], expected[name])
    proposals = make_proposals(LABELS)
    for a, b in zip(
        ours.inference(ours(features), proposals)[0],
        theirs.inference(theirs(features), proposals)[0],
        strict=True,
    ):
        torch.testing.assert_close(a.scores, b.scores)
        torch.testing.assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor)


@parametrize_losses
def test_the_loss_decides_the_number_of_logits_and_the_scores(make_loss):
    predictor = make_predictor(make_loss())
    logits, deltas = predictor(torch.randn(3, NUM_FEATURES))
    assert logits.shape == (3, predictor.loss.num_logits) and deltas.shape == (3, 4 * NUM_CLASSES)
    (scores,) = predictor.predict_probs((logits, deltas), make_proposals([[0, 1, 2]]))
    torch.testing.assert_close(scores, predictor.loss.scores(logits))


@parametrize_losses
def test_trains_through_both_layers_and_logs_accuracy(make_loss):
    predictor = make_predictor(make_loss())
    losses, storage = run_losses(predictor, LABELS)
    sum(losses.values()).backward()
    assert set(losses) == {"loss_cls", "loss_box_reg"}
    assert predictor.cls_score.weight.grad.abs().sum() > 0
    assert predictor.bbox_pred.weight.grad.abs().sum() > 0
    assert "fast_rcnn/cls_accuracy" in storage.latest()


@parametrize_losses
@pytest.mark.parametrize("labels", [[[], []], [[4, 4], [4]]], ids=["none", "background"])
def test_batches_without_foreground_back_propagate_zero_or_background(make_loss, labels):
    predictor = make_predictor(make_loss())
    losses, _ = run_losses(predictor, labels)
    sum(losses.values()).backward()
    assert losses["loss_box_reg"] == 0 and torch.isfinite(losses["loss_cls"])
    assert all(torch.isfinite(p.grad).all() for p in predictor.parameters())


@parametrize_losses
def test_the_classifier_starts_at_the_prior_of_the_loss(make_loss):
    predictor = make_predictor(make_loss(), prior_prob=0.01)
    assert torch.equal(predictor.cls_score.bias, predictor.loss.initial_logits(0.01))
    assert (make_predictor(make_loss()).cls_score.bias == 0).all()


def test_class_agnostic_boxes_and_weights():
    torch.manual_seed(0)
    plain = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES), cls_agnostic_bbox_reg=True)
    weighted = make_predictor(
        SoftmaxCrossEntropyLoss(NUM_CLASSES), cls_agnostic_bbox_reg=True, loss_weight=0.25
    )
    weighted.load_state_dict(plain.state_dict())
    features = torch.randn(9, NUM_FEATURES)
    assert plain(features)[1].shape == (9, 4)
    full, quarter = (run_losses(p, LABELS, features)[0] for p in (plain, weighted))
    for name in full:
        torch.testing.assert_close(quarter[name], full[name] / 4)


def test_classifier_is_injected():
    predictor = make_predictor(
        ECMLoss([9, 3, 2, 1]), classifier=NormedLinear.with_temperature(20.0)
    )
    assert isinstance(predictor.cls_score, NormedLinear)
    assert predictor.cls_score.weight.shape == (NUM_CLASSES + 1, NUM_FEATURES)
    features = torch.zeros(9, NUM_FEATURES, requires_grad=True)
    losses, _ = run_losses(predictor, LABELS, features)
    losses["loss_cls"].backward()
    assert (features.grad == 0).all()


def test_an_injected_classifier_keeps_its_own_initialization():
    def constant(in_features, out_features):
        layer = torch.nn.Linear(in_features, out_features)
        torch.nn.init.constant_(layer.weight, 0.5)
        return layer

    predictor = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES), classifier=constant)
    assert (predictor.cls_score.weight == 0.5).all()


def test_settings_of_the_test_are_kept():
    settings = {"test_score_thresh": 0.3, "test_nms_thresh": 0.7, "test_topk_per_image": 7}
    predictor = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES), **settings)
    assert {name: getattr(predictor, name) for name in settings} == settings


def test_no_proposals_give_no_detections():
    predictor = make_predictor(ECMLoss([9, 3, 2, 1])).eval()
    features, proposals = torch.zeros(0, NUM_FEATURES), make_proposals([[]])
    (detections,), _ = predictor.inference(predictor(features), proposals)
    assert len(detections) == 0


def test_another_number_of_classes_is_named():
    with pytest.raises(ValueError, match="num_classes is 4, but the loss was built for 2 classes"):
        make_predictor(SoftmaxCrossEntropyLoss(2))


def test_calibration_changes_detections_and_neither_losses_nor_weights():
    torch.manual_seed(0)
    plain = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES))
    norcal = NorCal([9, 3, 2, 1], gamma=1.0)
    calibrated = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES), calibration=norcal)
    calibrated.load_state_dict(plain.state_dict())
    features, proposals = torch.randn(9, NUM_FEATURES), make_proposals(LABELS)
    raw, scores = (torch.cat(p.predict_probs(p(features), proposals)) for p in (plain, calibrated))
    torch.testing.assert_close(scores, norcal(raw))
    assert not torch.allclose(scores, raw)
    losses, expected = (run_losses(p, LABELS, features)[0] for p in (calibrated, plain))
    assert losses == expected


def test_a_calibration_of_another_number_of_classes_is_named():
    with pytest.raises(ValueError, match="num_classes is 4, but the calibration was made for 2"):
        make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES), calibration=NorCal([2, 1], 0.5))


@pytest.mark.parametrize("prior_prob", [0.0, 1.0, -0.1])
def test_bad_prior_is_named(prior_prob):
    with pytest.raises(ValueError, match="prior_prob is"):
        make_predictor(SigmoidBCELoss(NUM_CLASSES), prior_prob=prior_prob)


def test_weights_by_the_name_of_a_loss_are_refused():
    with pytest.raises(ValueError, match=r"loss_weight is .*; give one number for all losses"):
        make_predictor(SigmoidBCELoss(NUM_CLASSES), loss_weight={"loss_cls": 1.0})


def test_a_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="test_nms_tresh"):
        make_predictor(SigmoidBCELoss(NUM_CLASSES), test_nms_tresh=0.5)


@parametrize_losses
def test_no_images_cost_nothing_as_in_detectron2(make_loss):
    predictor = make_predictor(make_loss())
    with EventStorage():
        losses = predictor.losses(predictor(torch.zeros(0, NUM_FEATURES)), [])
    assert {name: loss.item() for name, loss in losses.items()} == {
        "loss_cls": 0,
        "loss_box_reg": 0,
    }
    sum(losses.values()).backward()


def test_a_trace_takes_any_number_of_proposals():
    predictor = make_predictor(SoftmaxCrossEntropyLoss(NUM_CLASSES)).eval()

    def predict(logits, deltas, first, second):
        images = [Instances((9, 9), proposal_boxes=Boxes(x)) for x in (first, second)]
        predictions = (logits, deltas)
        return (
            *predictor.predict_probs(predictions, images),
            *predictor.predict_boxes(predictions, images),
        )

    def inputs(*numbers):
        boxes = [torch.rand(number, 4) for number in numbers]
        total = sum(numbers)
        return (torch.randn(total, NUM_CLASSES + 1), torch.randn(total, 4 * NUM_CLASSES), *boxes)

    traced = torch.jit.trace(predict, inputs(3, 2), check_trace=False)
    for numbers in ((1, 5), (4, 0)):
        example = inputs(*numbers)
        for found, expected in zip(traced(*example), predict(*example), strict=True):
            assert torch.equal(found, expected)
