import copy

import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from support.tiny_detr import NUM_QUERIES, WIDTH, make_detr, rank_sort_parts
from support.tiny_one_stage import PIXELS
from support.tiny_two_stage import CHANNELS, NUM_CLASSES, make_image
from torch import nn

from rankdet.losses import IGNORED, FocalLoss, SeesawLoss
from rankdet.modeling.detr import Decoder, QueryLoss

IMAGES = [make_image([0, 1], 1), make_image([], 2), make_image([2, 2, 0], 3)]
DETECTORS = {
    "focal": make_detr,
    "RS": lambda: make_detr(**rank_sort_parts()),
    "BRS": lambda: make_detr(**rank_sort_parts(algorithm="bucketed")),
}
detectors = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


def train(model, images, iteration=0):
    """Losses, and what was logged."""
    with EventStorage(iteration) as storage:
        losses = model.train()(images)
    return losses, storage.latest()


def detect(model, images):
    with torch.no_grad():
        return [x["instances"] for x in model.eval()(images)]


def resized(image, height, width):
    """The same with another number of pixels."""
    scaled = torch.nn.functional.interpolate(image["image"][None].float(), (height, width))[0]
    instances = image["instances"]
    old_height, old_width = instances.image_size
    boxes = instances.gt_boxes.clone()
    boxes.scale(width / old_width, height / old_height)
    gt = Instances((height, width), gt_boxes=boxes, gt_classes=instances.gt_classes)
    return {"image": scaled, "instances": gt}


@detectors
@pytest.mark.parametrize("images", [IMAGES, IMAGES[1:2], [resized(IMAGES[0], 32, 48), IMAGES[2]]])
def test_every_parameter_learns_and_all_is_finite(make, images):
    model = make()
    losses, _ = train(model, images)
    names = {"loss_cls"} if make is make_detr else {"loss_rank", "loss_sort"}
    names |= {"loss_box_reg", "loss_l1"}
    assert losses.keys() == names | {f"loss_encoder_{x.removeprefix('loss_')}" for x in names}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        # Detectron2's DDP and its norm of gradients want a gradient in every batch.
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_every_part_has_a_gradient_of_its_own():
    model = make_detr()
    sum(train(model, IMAGES)[0].values()).backward()
    # The last layers of box heads start at zero, and offsets and weights of attention at constants:
    # what is before them learns from the second batch on.
    waiting = [n for n, p in model.named_parameters() if not p.grad.any()]
    assert "encoder.level_embedding" in waiting
    assert all("box_head" in n for n in waiting if n != "encoder.level_embedding")
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    sum(train(model, IMAGES)[0].values()).backward()
    assert all(p.grad.any() for p in model.parameters())


def test_losses_are_those_of_the_parts():
    model = make_detr()
    losses, _ = train(model, IMAGES)
    parts = {"decoder": [], "selection": []}
    model.loss.register_forward_hook(lambda m, a, out: parts["decoder"].append(out))
    model.selection_loss.register_forward_hook(lambda m, a, out: parts["selection"].append(out))
    train(model, IMAGES)
    for name, value in parts["decoder"][0].items():
        assert losses[name] == value
    for name, value in parts["selection"][0].items():
        assert losses[name.replace("loss_", "loss_encoder_")] == value


def test_only_candidates_among_the_tokens_are_matched_and_all_queries():
    model, calls, seen = make_detr(), [], []
    matcher = model.matcher
    model.matcher = lambda *args: calls.append(args) or matcher(*args)
    model.selection_loss.register_forward_hook(lambda m, a, out: seen.append(a[1]))
    train(model, [resized(IMAGES[0], 24, 48), IMAGES[2]])
    (scores, _, objects, is_candidate), (query_scores, _, gt) = calls
    assert not is_candidate[0].all() and is_candidate[1].all()
    assert torch.equal(seen[0].labels[0] == IGNORED, ~is_candidate)
    assert scores.shape == (1, 2, is_candidate.shape[1], 1)
    assert query_scores.shape == (2, 2, NUM_QUERIES, NUM_CLASSES)
    for one, other in zip(objects, gt, strict=True):
        assert not one.gt_classes.any() and one.gt_boxes is other.gt_boxes


def test_losses_do_not_depend_on_the_order_of_objects():
    order = torch.tensor([2, 0, 1])
    shuffled = {**IMAGES[2], "instances": IMAGES[2]["instances"][order]}
    losses, _ = train(make_detr(), IMAGES)
    for name, value in train(make_detr(), [*IMAGES[:2], shuffled])[0].items():
        torch.testing.assert_close(value, losses[name])


class NeckWithoutNorms(nn.Module):
    """What a cell holds depends on its own pixels only; group norms see the padding."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, WIDTH, 1)

    def forward(self, features):
        p3, p4 = self.conv(features["p3"]), self.conv(features["p4"])
        return [p3, p4, nn.functional.max_pool2d(p4, 2)]


def test_an_image_alone_is_detected_as_in_a_batch_with_a_larger_one():
    model = make_detr(neck=NeckWithoutNorms())
    small, large = resized(IMAGES[0], 32, 64), resized(IMAGES[2], 64, 96)
    (alone,), (beside, _) = detect(model, [small]), detect(model, [small, large])
    torch.testing.assert_close(beside.scores, alone.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(beside.pred_boxes.tensor, alone.pred_boxes.tensor, rtol=0, atol=1e-3)
    assert torch.equal(beside.pred_classes, alone.pred_classes)


def test_detections_are_the_best_pairs_of_query_and_class():
    model = make_detr(max_detections_per_image=7)
    for head in model.decoder.box_heads:  # else all layers predict the boxes of the selection
        nn.init.normal_(list(head.parameters())[-2])
    seen = []
    model.decoder.register_forward_hook(lambda m, a, out: seen.append(out))
    (found,) = detect(model, IMAGES[:1])
    scores, boxes = seen[0].logits[-1, 0].sigmoid(), seen[0].boxes[-1, 0]
    pairs = sorted(
        ((scores[q, c].item(), q, c) for q in range(NUM_QUERIES) for c in range(NUM_CLASSES)),
        reverse=True,
    )[:7]
    height, width = found.image_size
    for (score, query, label), n in zip(pairs, range(7), strict=True):
        x, y, w, h = boxes[query].tolist()
        corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        clipped = [min(max(c, 0), 1) * s for c, s in zip(corners, [width, height] * 2, strict=True)]
        assert found.scores[n].item() == pytest.approx(score)
        assert found.pred_classes[n] == label
        assert found.pred_boxes.tensor[n].tolist() == pytest.approx(clipped, abs=1e-3)


def test_detections_are_scaled_to_what_is_asked_for():
    model = make_detr()
    (found,), (twice,) = (
        detect(model, [{"image": IMAGES[0]["image"], **size}])
        for size in ({}, {"height": 96, "width": 144})
    )
    assert twice.image_size == (96, 144)
    expected = found.pred_boxes.tensor * torch.tensor([3.0, 2.0, 3.0, 2.0])
    torch.testing.assert_close(twice.pred_boxes.tensor, expected)


def test_scores_below_the_threshold_are_dropped():
    (all_of_them,) = detect(make_detr(), IMAGES[:1])
    assert len(all_of_them) == NUM_QUERIES * NUM_CLASSES
    threshold = all_of_them.scores[4].item()
    (found,) = detect(make_detr(test_score_thresh=threshold), IMAGES[:1])
    assert len(found) == 5


def test_ground_truth_has_no_influence_on_detections():
    (expected,) = detect(make_detr(), [{"image": IMAGES[0]["image"]}])
    (found,) = detect(make_detr(), IMAGES[:1])
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize("prior_prob", [0.01, 0.2])
def test_the_first_scores_are_the_prior(prior_prob):
    model = make_detr(prior_prob=prior_prob)
    heads = [*model.decoder.class_heads, model.query_selection.class_head]
    for head in heads:
        assert head.bias.sigmoid().tolist() == pytest.approx([prior_prob] * len(head.bias))


def test_the_mean_score_of_matched_queries_is_logged_now_and_then():
    model = make_detr()
    seen = []
    model.loss.register_forward_hook(lambda m, a, out: seen.append(a))
    _, logged = train(model, IMAGES, iteration=20)
    predictions, targets = seen[0]
    scores = [
        predictions.logits[-1, image, query, label].sigmoid().item()
        for image, labels in enumerate(targets.labels[-1].tolist())
        for query, label in enumerate(labels)
        if label < NUM_CLASSES
    ]
    assert len(scores) == 5
    assert logged["detr/matched_score"][0] == pytest.approx(sum(scores) / 5)
    assert "detr/matched_score" not in train(model, IMAGES, iteration=21)[1]
    assert "detr/matched_score" not in train(model, IMAGES[1:2], iteration=20)[1]


def with_boxes(*boxes, label=0):
    image = copy.copy(IMAGES[0])
    gt = Instances((48, 48), gt_boxes=Boxes(torch.tensor(boxes)))
    gt.gt_classes = torch.full((len(boxes),), label)
    return {**image, "instances": gt, "file_name": "street.jpg"}


@pytest.mark.parametrize(
    "box",
    [
        [1.0, float("nan"), 5.0, 6.0],
        [1.0, 2.0, float("inf"), 6.0],
        [5.0, 2.0, 5.0, 6.0],
        [5.0, 6.0, 9.0, 2.0],
    ],
)
def test_boxes_that_are_empty_or_not_finite_name_the_image(box):
    with pytest.raises(
        ValueError, match=r"image street\.jpg has the ground-truth box .*not finite"
    ):
        train(make_detr(), [IMAGES[0], with_boxes([1.0, 1.0, 9.0, 9.0], box)])


def test_a_class_that_the_model_lacks_names_the_image():
    with pytest.raises(ValueError, match=r"image street\.jpg has an object of class 3"):
        train(make_detr(), [with_boxes([1.0, 1.0, 9.0, 9.0], label=NUM_CLASSES)])


def test_images_without_instances():
    with pytest.raises(ValueError, match="image number 0 of the batch has no instances"):
        train(make_detr(), [{"image": IMAGES[0]["image"]}])


def test_predictions_that_are_not_finite():
    model = make_detr()
    torch.nn.init.constant_(model.backbone.conv.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="layer 0 predicts scores or boxes"):
        train(model, IMAGES)


def test_another_number_of_classes():
    with pytest.raises(ValueError, match="num_classes is 4, but the loss was built for 3"):
        make_detr(num_classes=4)


def test_heads_that_do_not_fit_the_loss():
    layers = dict(num_channels=16, num_heads=2, num_levels=3, num_points=2, hidden_channels=32)
    decoder = Decoder(num_logits=NUM_CLASSES, num_layers=1, **layers)
    with pytest.raises(ValueError, match=r"num_logits=3, but SeesawLoss needs \d"):
        make_detr(QueryLoss(SeesawLoss(NUM_CLASSES)), decoder=decoder)


def test_a_selection_loss_of_several_classes():
    with pytest.raises(ValueError, match="selection_loss is for 2 classes with 2 logits"):
        make_detr(selection_loss=QueryLoss(FocalLoss(2)))


def test_images_are_not_padded_further():
    model = make_detr()
    assert model.preprocess_image([resized(IMAGES[0], 41, 37)]).tensor.shape[-2:] == (41, 37)
    expected = (IMAGES[0]["image"] - PIXELS["pixel_mean"][0]) / PIXELS["pixel_std"][0]
    torch.testing.assert_close(model.preprocess_image(IMAGES[:1]).tensor[0], expected)


@detectors
def test_half_precision_trains_with_boxes_of_full_precision(make):
    model, seen = make(), []
    model.loss.register_forward_hook(lambda m, a, out: seen.append(a[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, _ = train(model, IMAGES)
        (found, *_) = detect(model, IMAGES)
    (predictions,) = seen
    assert predictions.logits.dtype == torch.bfloat16
    assert predictions.boxes.dtype == found.pred_boxes.tensor.dtype == torch.float32
    expected, _ = train(make(), IMAGES)
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32
        # Sorting has no tolerance: rounded logits of a handful of positives change their order.
        if "sort" not in name:
            assert losses[name].item() == pytest.approx(value.item(), rel=0.2), name
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
