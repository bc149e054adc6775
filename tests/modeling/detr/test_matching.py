import pytest
import torch
from modeling.detr.objects import random_batch, random_instances, random_shares
from modeling.detr.slow_matching import match_cost, smallest_sum

from rankdet.modeling.detr import HungarianMatcher


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_predictions(layers, images, queries, classes, seed=1):
    rng = generator(seed)
    scores = torch.rand(layers, images, queries, classes, generator=rng, dtype=torch.float64)
    return scores, random_shares(layers * images * queries, rng).view(layers, images, queries, 4)


def slow_costs(scores, boxes, instances, weights=(2.0, 5.0, 2.0)):
    """A list of rows, one per query."""
    objects = list(
        zip(instances.gt_classes.tolist(), instances.gt_boxes.tensor.tolist(), strict=True)
    )
    queries = zip(scores.tolist(), boxes.tolist(), strict=True)
    return [
        [match_cost(p, box, *one, instances.image_size, weights) for one in objects]
        for p, box in queries
    ]


def check_one_to_one(matches, num_objects):
    """Each object has one query at most, and as many have one as there are queries for."""
    found = matches[matches >= 0].tolist()
    assert len(found) == len(set(found)) == min(num_objects, len(matches))
    assert all(0 <= x < num_objects for x in found) and matches.min() >= -1


@pytest.mark.parametrize("weights", [(2.0, 5.0, 2.0), (4.0, 5.0, 2.0), (1.0, 0.0, 0.0)])
def test_costs_are_the_formula(weights):
    scores, boxes = random_predictions(3, 1, 7, 5)
    instances = random_instances(4, generator())
    matcher = HungarianMatcher(
        class_weight=weights[0], l1_weight=weights[1], giou_weight=weights[2]
    )
    costs = matcher.costs(scores, boxes, [instances])
    for layer in range(3):
        expected = slow_costs(scores[layer, 0], boxes[layer, 0], instances, weights)
        # The ground truth of Detectron2 is float32.
        torch.testing.assert_close(
            costs[layer, 0], torch.tensor(expected).double(), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("queries", "numbers"), [(6, (3, 1, 4)), (3, (5, 3, 0)), (1, (1, 2, 6))])
def test_every_layer_and_image_has_its_cheapest_matching(seed, queries, numbers):
    gt = random_batch(numbers, generator(seed))
    scores, boxes = random_predictions(2, 3, queries, 5, seed)
    matches = HungarianMatcher()(scores, boxes, gt)
    assert matches.shape == (2, 3, queries) and matches.dtype == torch.int64
    for layer in range(2):
        for image, instances in enumerate(gt):
            found = matches[layer, image]
            check_one_to_one(found, len(instances))
            costs = slow_costs(scores[layer, image], boxes[layer, image], instances)
            total = sum(costs[q][x] for q, x in enumerate(found.tolist()) if x >= 0)
            expected = smallest_sum(costs) if len(instances) else 0
            assert total == pytest.approx(expected, abs=1e-5)


def test_permuted_objects_permute_matches():
    gt = random_batch([5, 3], generator())
    scores, boxes = random_predictions(2, 2, 8, 5)
    matches = HungarianMatcher()(scores, boxes, gt)
    orders = [torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 1])]
    permuted = HungarianMatcher()(scores, boxes, [x[o] for x, o in zip(gt, orders, strict=True)])
    for image, order in enumerate(orders):
        back = torch.cat([order, torch.tensor([-1])])[permuted[:, image]]
        assert torch.equal(back, matches[:, image])


def test_permuted_queries_permute_matches():
    gt, order = random_batch([5], generator()), torch.randperm(8, generator=generator())
    scores, boxes = random_predictions(1, 1, 8, 5)
    matches = HungarianMatcher()(scores, boxes, gt)
    permuted = HungarianMatcher()(scores[:, :, order], boxes[:, :, order], gt)
    assert torch.equal(permuted, matches[:, :, order])


def test_queries_that_are_all_the_same():
    (gt,) = random_batch([4], generator())
    scores = torch.full((1, 1, 9, 5), 0.5)
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(1, 1, 9, 4)
    check_one_to_one(HungarianMatcher()(scores, boxes, [gt])[0, 0], 4)


def test_objects_that_are_all_the_same():
    instances = random_instances(1, generator())[torch.zeros(4, dtype=torch.int64)]
    scores, boxes = random_predictions(1, 1, 6, 5)
    check_one_to_one(HungarianMatcher()(scores, boxes, [instances])[0, 0], 4)


@pytest.mark.parametrize("numbers", [[0], [0, 0], [0, 2, 0]])
def test_images_without_objects(numbers):
    scores, boxes = random_predictions(2, len(numbers), 4, 5)
    matches = HungarianMatcher()(scores, boxes, random_batch(numbers, generator()))
    assert [int((matches[0, i] >= 0).sum()) for i in range(len(numbers))] == numbers


@pytest.mark.parametrize("num_classes", [1, 1203])
def test_any_number_of_classes(num_classes):
    gt = random_batch([3], generator(), num_classes)
    scores, boxes = random_predictions(1, 1, 5, num_classes)
    cost = HungarianMatcher().costs(scores, boxes, gt)[0, 0]
    expected = torch.tensor(slow_costs(scores[0, 0], boxes[0, 0], gt[0])).double()
    torch.testing.assert_close(cost, expected, rtol=1e-5, atol=1e-5)
    check_one_to_one(HungarianMatcher()(scores, boxes, gt)[0, 0], 3)


def test_only_candidates_are_matched():
    gt = random_batch([2, 3], generator())
    scores, boxes = random_predictions(1, 2, 6, 5)
    is_candidate = torch.tensor([[True, False, True, False, True, True], [False] * 5 + [True]])
    matches = HungarianMatcher()(scores, boxes, gt, is_candidate)
    assert (matches[:, ~is_candidate] == -1).all()
    for image, (instances, is_row) in enumerate(zip(gt, is_candidate, strict=True)):
        part = slice(image, image + 1)
        alone = HungarianMatcher()(scores[:, part, is_row], boxes[:, part, is_row], [instances])
        assert torch.equal(matches[:, part, is_row], alone)


def test_no_candidate_at_all():
    scores, boxes = random_predictions(1, 1, 6, 5)
    gt, nothing = random_batch([2], generator()), torch.zeros(1, 6, dtype=torch.bool)
    assert (HungarianMatcher()(scores, boxes, gt, nothing) == -1).all()


def test_certain_and_impossible_scores_are_matched():
    gt = random_batch([2], generator())
    scores, boxes = random_predictions(1, 1, 3, 5)
    matches = HungarianMatcher()(scores.round().float(), boxes.float(), gt)
    check_one_to_one(matches[0, 0], 2)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_boxes_that_are_not_finite(value):
    gt = random_batch([2, 2], generator())
    scores, boxes = random_predictions(2, 2, 4, 5)
    boxes[1, 0, 2, 3] = value
    with pytest.raises(FloatingPointError, match=r"layer 1 .* image 0 of the batch"):
        HungarianMatcher()(scores, boxes, gt)


def test_scores_that_are_not_finite():
    gt = random_batch([2], generator(), num_classes=1)
    scores, boxes = random_predictions(1, 1, 4, 1)
    scores[0, 0, 1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"layer 0 .* image 0 of the batch"):
        HungarianMatcher()(scores, boxes, gt)


def test_half_precision_is_refused():
    scores, boxes = random_predictions(1, 1, 4, 5)
    with pytest.raises(ValueError, match=r"float16.*logits\.float"):
        HungarianMatcher()(scores.half(), boxes, random_batch([2], generator()))


def test_another_number_of_images():
    scores, boxes = random_predictions(1, 2, 4, 5)
    with pytest.raises(ValueError, match="for 3 images of ground truth"):
        HungarianMatcher()(scores, boxes, random_batch([1, 1, 1], generator()))


@pytest.mark.parametrize("name", ["class_weight", "l1_weight", "giou_weight"])
def test_negative_weights(name):
    with pytest.raises(ValueError, match=f"{name} is -1"):
        HungarianMatcher(**{name: -1.0})
