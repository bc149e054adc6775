import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage
from fvcore.nn import giou_loss
from support.tiny_one_stage import PIXELS, SHAPES, STRIDES, TwoLevels
from support.tiny_two_stage import CHANNELS, make_image

from rankdet.losses.ecm_surrogate import ECMSurrogate
from rankdet.losses.focal import VarifocalLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.modeling.dense.atss import ATSSAssigner
from rankdet.modeling.dense.varifocal_head import VarifocalHead
from rankdet.modeling.dense.varifocal_net import VarifocalNet

IMAGES = [make_image([0, 1], 1), make_image([], 2), make_image([2, 2, 0], 3)]
EMPTY = [make_image([], 4), make_image([], 5)]
LOSSES = {
    "varifocal": VarifocalLoss(3, box_weight=2.0),
    "ecm": VarifocalLoss(3, box_weight=2.0, surrogate=ECMSurrogate([50, 20, 1])),
    "rank sort": RankSortLoss(3),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def make_model(loss=None, shapes=SHAPES, **options):
    torch.manual_seed(0)
    loss = loss or VarifocalLoss(3, box_weight=2.0)
    return VarifocalNet(
        backbone=TwoLevels(),
        head=VarifocalHead(
            input_shape=shapes,
            num_classes=loss.num_classes,
            conv_dims=[CHANNELS],
            norm="LN",
            first_distance=2.0,
        ),
        head_in_features=["p3", "p4"],
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[16], [24]], aspect_ratios=[1.0], strides=STRIDES
        ),
        assigner=ATSSAssigner(loss.num_classes),
        loss=loss,
        num_classes=loss.num_classes,
        **options,
        **PIXELS,
    )


def run(model, images=IMAGES):
    with EventStorage():
        return model(images)


def slow_boxes(model, images):
    """Per image, of each anchor: its corners by distances from its location; refined and first."""
    inputs = model.preprocess_image(images)
    features = list(model.backbone(inputs.tensor).values())
    _, *both = model.head(features)
    boxes = [[[] for _ in images] for _ in both]
    for per_image, levels in zip(boxes, both, strict=True):
        for level, stride in zip(levels, STRIDES, strict=True):
            for image, distances in enumerate(level):
                for y in range(level.shape[2]):
                    for x in range(level.shape[3]):
                        left, top, right, bottom = distances[:, y, x]
                        corners = -left, -top, right, bottom
                        location = (torch.tensor([x, y, x, y]) + 0.5) * stride
                        per_image[image].append(torch.stack(corners) + location)
    return [[torch.stack(corners) for corners in per_image] for per_image in boxes]


def slow_ious(boxes, gt_boxes):
    return pairwise_iou(Boxes(boxes.detach()), Boxes(gt_boxes)).diagonal()


def targets_of(model):
    """Labels and boxes that the assigner gives in training."""
    calls, assigner = [], model.assigner
    model.assigner = lambda *args: calls.append(assigner(*args)) or calls[0]
    losses = run(model)
    model.assigner = assigner
    return losses, calls[0]


def test_both_boxes_are_trained_by_giou_weighted_by_their_ious():
    model = make_model(first_box_weight=1.25)
    losses, (labels, gt_boxes) = targets_of(model)
    assert set(losses) == {"loss_cls", "loss_box_reg", "loss_first_box_reg"}
    is_object = labels < 3
    assert 4 < is_object.sum() < labels.numel()
    for name, weight, boxes in zip(
        ("loss_box_reg", "loss_first_box_reg"), (2.0, 1.25), slow_boxes(model, IMAGES), strict=True
    ):
        matched = torch.stack(boxes)[is_object], gt_boxes[is_object]
        ious = slow_ious(*matched)
        expected = weight * (ious * giou_loss(*matched)).sum() / ious.sum()
        assert 0 < ious.min() < ious.max() <= 1
        torch.testing.assert_close(losses[name], expected)
        weights = list(model.head.parameters())
        expected, actual = (
            torch.autograd.grad(x, weights, retain_graph=True, allow_unused=True)
            for x in (expected, losses[name])
        )
        for slow, gradient in zip(expected, actual, strict=True):
            torch.testing.assert_close(gradient, slow, rtol=1e-4, atol=1e-5)


def test_the_loss_sees_the_ious_of_the_refined_boxes():
    model, calls = make_model(), []
    losses = model.loss.losses
    model.loss.losses = lambda *args: calls.append(args) or losses(*args)
    _, (labels, gt_boxes) = targets_of(model)
    refined, _ = slow_boxes(model, IMAGES)
    is_object = labels < 3
    expected = slow_ious(torch.stack(refined)[is_object], gt_boxes[is_object])
    torch.testing.assert_close(calls[0][2], expected)


def test_detections_are_refined_boxes():
    model = make_model(test_score_thresh=0.0, test_nms_thresh=1.0).eval()
    boxes = model(IMAGES)[0]["instances"].pred_boxes.tensor
    refined = slow_boxes(model, IMAGES)[0][0].clamp(min=0, max=48)
    assert len(boxes) == 100
    distances = (boxes[:, None] - refined).abs().amax(dim=2)
    assert (distances.amin(dim=1) < 1e-3).all()


@each_loss
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_gradients_reach_all_parameters(loss, dtype):
    model = make_model(loss)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        losses = run(model)
    sum(losses.values()).backward()
    for name, weight in model.named_parameters():
        assert weight.grad.isfinite().all() and weight.grad.abs().sum() > 0, name


@each_loss
def test_images_without_objects(loss):
    model = make_model(loss)
    losses = run(model, EMPTY)
    assert losses["loss_box_reg"] == losses["loss_first_box_reg"] == 0
    sum(losses.values()).backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("num_classes", [1, 1203])
def test_numbers_of_classes(num_classes):
    model = make_model(VarifocalLoss(num_classes))
    losses = run(model, [make_image([0, num_classes - 1])])
    assert all(loss.isfinite() for loss in losses.values())
    assert "instances" in model.eval()([IMAGES[0]])[0]


def test_settings_reach_the_detector():
    settings = {
        "test_score_thresh": 0.2,
        "test_topk_candidates": 9,
        "test_nms_thresh": 0.5,
        "max_detections_per_image": 3,
    }
    model = make_model(prior_prob=0.2, **settings)
    assert {name: getattr(model, name) for name in settings} == settings
    torch.testing.assert_close(model.head.cls_score.bias.sigmoid(), torch.full((3,), 0.2))


def test_state_is_in_the_checkpoint():
    ecm = VarifocalLoss(3, surrogate=ECMSurrogate([50, 20, 1]))
    model, other = make_model(LOSSES["ecm"]), make_model(ecm)
    torch.nn.init.normal_(model.head.bbox_star.weight)
    other.load_state_dict(model.state_dict())
    results = [detector.eval()(IMAGES)[0]["instances"] for detector in (model, other)]
    assert torch.equal(*(x.pred_boxes.tensor for x in results))
    assert torch.equal(*(x.scores for x in results))


def test_strides_of_head_and_features_must_be_the_same():
    shapes = [ShapeSpec(channels=CHANNELS, stride=stride) for stride in (16, 32)]
    with pytest.raises(ValueError, match=r"strides \[16, 32\], but the features have \[8, 16\]"):
        make_model(shapes=shapes)


def test_first_box_weight_must_not_be_negative():
    with pytest.raises(ValueError, match="first_box_weight is -1"):
        make_model(first_box_weight=-1.0)


def test_padding_is_background_but_no_candidate():
    """As released; ATSS alone would give the object at the border two anchors over padding."""
    small = make_image([0, 2], 5)
    small["image"] = small["image"][:, :32, :24]
    boxes = Boxes(torch.tensor([[2.0, 3, 15, 20], [8.0, 6, 24, 32]]))
    classes = small["instances"].gt_classes
    small["instances"] = Instances((32, 24), gt_boxes=boxes, gt_classes=classes)
    labels = []
    for divisor in (None, 8):
        model = make_model(padding_divisor=divisor)
        seen = []
        model.losses = lambda labels, *args, seen=seen: seen.append(labels) or {}
        run(model, [IMAGES[0], small])
        labels.append(seen[0])
    fine = labels[1][1, :36].view(6, 6)
    assert (fine[4:] == 3).all() and (fine[:, 3:] == 3).all() and (labels[1] >= 0).all()
    assert not torch.equal(*labels) and torch.equal(labels[0][0], labels[1][0])


def test_boxes_of_little_overlap_are_divided_by_one():
    """As released: the sums of IoUs of one object's anchors are far below 1 here."""
    model = make_model(first_box_weight=1.25)
    torch.nn.init.constant_(model.head.bbox_pred.bias, -2.5)
    losses, (labels, gt_boxes) = targets_of(model)
    is_object = labels < 3
    for name, weight, boxes in zip(
        ("loss_box_reg", "loss_first_box_reg"), (2.0, 1.25), slow_boxes(model, IMAGES), strict=True
    ):
        matched = torch.stack(boxes)[is_object], gt_boxes[is_object]
        ious = slow_ious(*matched)
        assert 0 < ious.sum() < 0.9
        torch.testing.assert_close(losses[name], weight * (ious * giou_loss(*matched)).sum())
