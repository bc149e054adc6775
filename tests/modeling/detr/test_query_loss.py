from functools import partial

import pytest
import torch
from modeling.detr.objects import random_batch, random_shares
from modeling.detr.slow_query_loss import expected_query_losses
from support.two_ranks import run_two_ranks

from rankdet.losses import APLoss, FocalLoss, RankSortLoss
from rankdet.modeling.detr import Predictions, QueryLoss, QueryTargets, targets_of_queries

NUM_CLASSES, LAYERS, IMAGES, QUERIES = 5, 3, 2, 7
FOCAL = partial(QueryLoss, FocalLoss(NUM_CLASSES))
RANKING = dict(class_weight=2.0, l1_weight=2.0, giou_weight=2.0)
LOSSES = {
    "focal": FOCAL,
    "focal, other weights": partial(FOCAL, class_weight=1.0, l1_weight=3.0, giou_weight=0.5),
    "RS": partial(QueryLoss, RankSortLoss(NUM_CLASSES, score_weighted_boxes=False), **RANKING),
    "RS, boxes by score": partial(QueryLoss, RankSortLoss(NUM_CLASSES), **RANKING),
    "BRS": partial(
        QueryLoss,
        RankSortLoss(NUM_CLASSES, algorithm="bucketed", score_weighted_boxes=False),
        **RANKING,
    ),
    "AP": partial(QueryLoss, APLoss(NUM_CLASSES, score_weighted_boxes=False)),
}
losses = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES.keys())


def random_predictions(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = LAYERS, IMAGES, QUERIES
    logits = torch.randn(*shape, NUM_CLASSES, generator=generator, dtype=torch.float64)
    boxes = random_shares(LAYERS * IMAGES * QUERIES, generator).view(*shape, 4)
    return Predictions(logits.requires_grad_(), boxes.requires_grad_())


def random_targets(num_positives=4, seed=0):
    """As many positives in every layer, in other places; a row is ignored, the others negative."""
    generator = torch.Generator().manual_seed(100 + seed)
    labels = torch.full((LAYERS, IMAGES * QUERIES), NUM_CLASSES)
    for layer in labels:
        order = torch.randperm(len(layer), generator=generator)
        classes = torch.randint(NUM_CLASSES, (num_positives,), generator=generator)
        layer[order[:num_positives]] = classes
        layer[order[num_positives]] = -1
    labels = labels.view(LAYERS, IMAGES, QUERIES)
    return QueryTargets(labels, random_shares(labels.numel(), generator).view(*labels.shape, 4))


def gradients(total, predictions):
    return torch.autograd.grad(total, list(predictions))


def check(query_loss, predictions, targets):
    found = query_loss(predictions, targets)
    expected = expected_query_losses(query_loss, predictions, targets)
    assert found.keys() == expected.values.keys()
    for name, value in expected.values.items():
        assert found[name].item() == pytest.approx(value, rel=1e-10, abs=1e-12), name
    logits, boxes = gradients(sum(found.values()), predictions)
    torch.testing.assert_close(logits, expected.logits.view_as(logits), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(boxes, expected.boxes.view_as(boxes), rtol=1e-10, atol=1e-12)


@losses
@pytest.mark.parametrize("num_positives", [1, 4, 9])
def test_is_what_the_paper_says(make, num_positives):
    check(make(), random_predictions(), random_targets(num_positives))


@losses
def test_queries_without_overlap_stay_positives(make):
    predictions, targets = random_predictions(), random_targets(2)
    boxes = predictions.boxes.detach() * 0.1 + torch.tensor([0.0, 0.0, 0.05, 0.05])
    targets = targets._replace(gt_boxes=targets.gt_boxes * 0.1 + 0.8)
    predictions = predictions._replace(boxes=boxes.requires_grad_())
    query_loss = make()
    check(query_loss, predictions, targets)
    found = query_loss(predictions, targets)
    found.pop("loss_sort", None)  # There is nothing to sort by.
    assert all(value > 0 for value in found.values())


@losses
def test_nothing_to_find_is_zero_and_connected(make):
    predictions, targets = random_predictions(), random_targets(0)
    found = make()(predictions, targets)
    assert {name for name, value in found.items() if value.item() == 0} >= {
        "loss_l1",
        "loss_box_reg",
    }
    logits, boxes = gradients(sum(found.values()), predictions)
    assert boxes.count_nonzero() == 0 and logits.isfinite().all()
    assert ("loss_cls" in found) == bool(logits.count_nonzero())


def test_both_box_losses_of_a_ranking_have_the_value_of_the_ranking():
    for make in (LOSSES["RS"], LOSSES["BRS"]):
        found = make()(random_predictions(), random_targets())
        ranking = (found["loss_rank"] + found["loss_sort"]).item()
        assert found["loss_l1"].item() == pytest.approx(ranking)
        assert found["loss_box_reg"].item() == pytest.approx(ranking)


def test_targets_are_classes_and_boxes_of_the_objects():
    gt = random_batch([2, 0, 3], torch.Generator().manual_seed(0))
    matches = torch.tensor([[[1, -1, 0], [-1, -1, -1], [2, 0, 1]]])
    labels, boxes = targets_of_queries(matches, gt, NUM_CLASSES)
    for image, found in enumerate(matches[0].tolist()):
        for query, number in enumerate(found):
            if number < 0:
                assert labels[0, image, query] == NUM_CLASSES
                continue
            assert labels[0, image, query] == gt[image].gt_classes[number]
            x1, y1, x2, y2 = gt[image].gt_boxes.tensor[number].tolist()
            height, width = gt[image].image_size
            share = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
            share += [(x2 - x1) / width, (y2 - y1) / height]
            assert boxes[0, image, query].tolist() == pytest.approx(share, abs=1e-6)


def test_queries_that_are_no_candidates_are_ignored():
    gt = random_batch([1], torch.Generator().manual_seed(0), num_classes=1)
    is_candidate = torch.tensor([[True, False, True]])
    targets = targets_of_queries(torch.tensor([[[-1, -1, 0]]]), gt, 1, is_candidate)
    assert targets.labels.tolist() == [[[1, -1, 0]]]


def test_the_last_layer_is_observed_once():
    class Watched(FocalLoss):
        def observe(self, logits, labels):
            seen.append((logits, labels))

    seen = []
    query_loss = QueryLoss(Watched(NUM_CLASSES))
    predictions, targets = random_predictions(), random_targets()
    query_loss(predictions, targets)
    query_loss.eval()(predictions, targets)
    ((logits, labels),) = seen
    assert torch.equal(logits, predictions.logits[-1].flatten(0, 1)) and not logits.requires_grad
    assert torch.equal(labels, targets.labels[-1].flatten())


@pytest.mark.parametrize("name", ["class_weight", "l1_weight", "giou_weight"])
def test_negative_weights(name):
    with pytest.raises(ValueError, match=f"{name} is -1"):
        FOCAL(**{name: -1.0})


def of_images(images):
    """Gradients of these images of a batch of two; the second has nothing to find."""
    predictions, targets = random_predictions(), random_targets(4)
    targets.labels[:, 0, :4] = 2
    targets.labels[:, 0, 4:] = targets.labels[:, 1] = NUM_CLASSES
    losses = FOCAL()(*(type(x)(*(y[:, images] for y in x)) for x in (predictions, targets)))
    return gradients(sum(losses.values()), predictions)


def of_rank(rank):
    return of_images([rank])


def test_two_ranks_are_as_one_process(tmp_path):
    ranks, expected = run_two_ranks(of_rank, tmp_path), of_images([0, 1])
    for one, other, both in zip(*ranks, expected, strict=True):
        torch.testing.assert_close((one + other) / 2, both, rtol=1e-10, atol=1e-14)
        assert both.count_nonzero() > 0
