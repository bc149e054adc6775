import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from hypothesis import given
from modeling.dense.anchor_scenes import (
    NUM_CLASSES,
    SIZE,
    assert_targets_equal,
    make_anchors,
    make_objects,
    make_predictions,
    quick,
    seeds,
)
from modeling.dense.slow_assigners import slow_match, slow_paa
from modeling.dense.slow_division import slow_low_up_to_likeliest, slow_up_to_likeliest

from rankdet.modeling.dense.paa import PAAAssigner
from rankdet.modeling.dense.paa_division import LowUpToLikeliest, UpToLikeliest

TRANSFORM = Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0))


def assign(anchors, gt_instances, logits, deltas, *settings):
    assigner = PAAAssigner(NUM_CLASSES, TRANSFORM, *settings)
    return assigner(anchors, gt_instances, logits, deltas)


@pytest.mark.parametrize(
    ("division", "slow_division"),
    [(UpToLikeliest, slow_up_to_likeliest), (LowUpToLikeliest, slow_low_up_to_likeliest)],
)
@pytest.mark.parametrize("seed", range(4))
def test_equals_loops_over_objects(seed, division, slow_division):
    anchors = make_anchors()
    numbers = [seed, 3, 0]
    gt_instances = [make_objects(num, seed + image) for image, num in enumerate(numbers)]
    logits, deltas = make_predictions(3, anchors, seed)
    num_matches = 0
    for settings in ((1, 0.1), (4, 0.3), (9, 0.1)):
        targets = assign(anchors, gt_instances, logits, deltas, *settings, division())
        expected = [
            slow_paa(anchors, gt, *predictions, *settings, slow_division)
            for gt, *predictions in zip(gt_instances, logits, deltas, strict=True)
        ]
        assert_targets_equal(targets, expected, gt_instances)
        num_matches += sum(match >= 0 for match in expected[1])
    assert num_matches > 0


@quick
@given(seed=seeds)
def test_images_do_not_depend_on_each_other(seed):
    anchors = make_anchors()
    gt_instances = [make_objects(num, seed + num) for num in (4, 0, 1)]
    logits, deltas = make_predictions(3, anchors, seed)
    together = assign(anchors, gt_instances, logits, deltas)
    for image in range(3):
        part = slice(image, image + 1)
        alone = assign(anchors, gt_instances[part], logits[part], deltas[part])
        assert torch.equal(together.labels[part], alone.labels)
        assert torch.equal(together.gt_boxes[part], alone.gt_boxes)


@quick
@given(seed=seeds)
def test_order_of_the_anchors_of_a_level_does_not_matter(seed):
    generator = torch.Generator().manual_seed(seed)
    anchors, objects = make_anchors(), make_objects(3, seed)
    logits, deltas = make_predictions(1, anchors, seed)
    labels = assign(anchors, [objects], logits, deltas).labels
    start, order = 0, []
    for level in anchors:
        order.append(start + torch.randperm(len(level), generator=generator))
        start += len(level)
    shuffled = Boxes.cat(anchors)[torch.cat(order)].tensor.split([len(x) for x in anchors])
    order = torch.cat(order)
    actual = assign(
        [Boxes(level) for level in shuffled], [objects], logits[:, order], deltas[:, order]
    ).labels
    assert torch.equal(actual, labels[:, order])


@quick
@given(seed=seeds)
def test_order_of_objects_that_share_no_anchor_does_not_matter(seed):
    """Of objects with the same best anchor the last one gets it, as released."""
    boxes = torch.tensor([[2.0, 3, 14, 13], [45, 46, 61, 62], [3, 44, 20, 60]])
    objects = Instances((SIZE, SIZE), gt_boxes=Boxes(boxes), gt_classes=torch.tensor([0, 3, 1]))
    anchors = make_anchors([8])
    logits, deltas = make_predictions(1, anchors, seed)
    expected = assign(anchors, [objects], logits, deltas)
    actual = assign(anchors, [objects[torch.tensor([2, 0, 1])]], logits, deltas)
    assert torch.equal(actual.labels, expected.labels)
    assert set(expected.labels.flatten().tolist()) == {0, 1, 3, NUM_CLASSES}


def test_an_object_that_no_anchor_fits_gets_its_best_one():
    """IoU 4 / 64: below the threshold, but the largest."""
    anchors = [Boxes(torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8]]))]
    objects = Instances(
        (16, 16), gt_boxes=Boxes(torch.tensor([[9.0, 1, 11, 3]])), gt_classes=torch.tensor([2])
    )
    labels = assign(anchors, [objects], torch.zeros(1, 2, NUM_CLASSES), torch.zeros(1, 2, 4)).labels
    assert labels.tolist() == [[NUM_CLASSES, 2]]


def test_an_object_away_from_all_anchors_gets_none():
    objects = Instances(
        (99, 99), gt_boxes=Boxes(torch.tensor([[30.0, 30, 40, 40]])), gt_classes=torch.tensor([2])
    )
    anchors = [Boxes(torch.tensor([[0.0, 0, 8, 8]]))]
    labels = assign(anchors, [objects], torch.zeros(1, 1, NUM_CLASSES), torch.zeros(1, 1, 4)).labels
    assert labels.tolist() == [[NUM_CLASSES]]


@pytest.mark.parametrize("num_images", [1, 2])
def test_images_without_objects_are_background(num_images):
    anchors = make_anchors()
    predictions = make_predictions(num_images, anchors)
    targets = assign(anchors, [make_objects(0)] * num_images, *predictions)
    assert (targets.labels == NUM_CLASSES).all() and targets.labels.dtype == torch.int64
    assert targets.labels.shape == (num_images, 84)


def test_half_precision_predictions_are_judged_in_float32():
    anchors, objects = make_anchors(), make_objects(5)
    logits, deltas = (x.half() for x in make_predictions(1, anchors))
    actual = assign(anchors, [objects], logits, deltas)
    assert torch.equal(
        actual.labels, assign(anchors, [objects], logits.float(), deltas.float()).labels
    )
    assert actual.gt_boxes.dtype == torch.float32


def test_a_thousand_objects_in_an_image():
    """More objects than anchors: each anchor still has one object at most, and all are valid."""
    anchors, objects = make_anchors(), make_objects(1000, seed=5)
    targets = assign(anchors, [objects], *make_predictions(1, anchors))
    matches = slow_match(Boxes.cat(anchors).tensor.tolist(), objects.gt_boxes.tensor.tolist())
    assert torch.equal(targets.gt_boxes[0], objects.gt_boxes.tensor[torch.tensor(matches)])
    assert (targets.labels != NUM_CLASSES).any()


def test_settings_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match="num_candidates is 0; give a number >= 1"):
        PAAAssigner(NUM_CLASSES, TRANSFORM, num_candidates=0)
    with pytest.raises(ValueError, match="iou_threshold is 10; give a number >= 0 and <= 1"):
        PAAAssigner(NUM_CLASSES, TRANSFORM, iou_threshold=10)
