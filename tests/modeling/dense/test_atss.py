import statistics

import pytest
import torch
from detectron2.structures import Boxes, Instances
from hypothesis import given
from hypothesis import strategies as st
from modeling.dense.anchor_scenes import (
    NUM_CLASSES,
    SIZE,
    assert_targets_equal,
    make_anchors,
    make_objects,
    quick,
    seeds,
)
from modeling.dense.slow_assigners import slow_atss

from rankdet.modeling.dense.atss import ATSSAssigner


def assign(anchors, gt_instances, num_candidates=9):
    shape = len(gt_instances), sum(len(level) for level in anchors)
    assigner = ATSSAssigner(NUM_CLASSES, num_candidates)
    return assigner(anchors, gt_instances, torch.zeros(*shape, 1), torch.zeros(*shape, 4))


@quick
@given(seed=seeds, num=st.integers(0, 12), num_candidates=st.sampled_from([1, 2, 9, 100]))
def test_equals_the_algorithm_of_the_paper(seed, num, num_candidates):
    """Level 32 has 4 anchors, fewer than most numbers of candidates."""
    anchors = make_anchors()
    gt_instances = [make_objects(num, seed), make_objects(2, seed + 1), make_objects(0)]
    targets = assign(anchors, gt_instances, num_candidates)
    expected = [slow_atss(anchors, gt.gt_boxes, num_candidates) for gt in gt_instances]
    assert_targets_equal(targets, expected, gt_instances)


def test_the_scene_has_contested_and_free_objects():
    """What the test above compares is more than background."""
    anchors, objects = make_anchors(), make_objects(12, seed=1)
    taken = [set(), set()]
    for number in range(12):
        matches = slow_atss(anchors, objects.gt_boxes[number])
        taken[0 if number < 6 else 1] |= {i for i, match in enumerate(matches) if match == 0}
    assert taken[0] & taken[1]
    matches = slow_atss(anchors, objects.gt_boxes)
    assert len(set(matches)) > 6 and -1 in matches


def object_of(box, label=0):
    boxes = Boxes(torch.tensor([box], dtype=torch.float32))
    return Instances((SIZE, SIZE), gt_boxes=boxes, gt_classes=torch.tensor([label]))


def test_one_object_by_hand():
    """IoUs 1, 1/2, 0 and 0: mean 0.375, deviation 0.479; only the first is above the sum."""
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 4], [20, 0, 28, 8], [0, 20, 8, 28]])
    targets = assign([Boxes(boxes)], [object_of([0, 0, 8, 8], label=3)])
    assert targets.labels.tolist() == [[3] + 3 * [NUM_CLASSES]]
    assert targets.gt_boxes[0, 0].tolist() == [0, 0, 8, 8]


def test_deviation_is_that_of_a_sample():
    """Mean 0.5025, deviation 0.465; that of all, 0.403, would take the IoU of 0.91."""
    ious = [0.91, 0.9, 0.1, 0.1]
    assert statistics.mean(ious) + statistics.pstdev(ious) < 0.91
    anchors = Boxes(torch.tensor([[0, 5 - 5 * iou, 10, 5 + 5 * iou] for iou in ious]))
    assert (assign([anchors], [object_of([0, 0, 10, 10])]).labels == NUM_CLASSES).all()


@quick
@given(seed=seeds)
def test_order_of_objects_does_not_matter(seed):
    anchors, objects = make_anchors(), make_objects(6, seed)
    generator = torch.Generator().manual_seed(seed)
    objects.gt_boxes.tensor += torch.rand(6, 4, generator=generator)  # without equal IoUs
    targets = assign(anchors, [objects, objects[torch.randperm(6, generator=generator)]])
    assert torch.equal(targets.labels[0], targets.labels[1])
    foreground = targets.labels[0] != NUM_CLASSES
    assert torch.equal(targets.gt_boxes[0][foreground], targets.gt_boxes[1][foreground])


@quick
@given(seed=seeds)
def test_order_of_anchors_does_not_matter_without_ties(seed):
    generator = torch.Generator().manual_seed(seed)
    anchors, objects = make_anchors(), make_objects(6, seed)
    anchors = [
        Boxes(level.tensor + torch.rand(len(level), 4, generator=generator)) for level in anchors
    ]
    orders = [torch.randperm(len(level), generator=generator) for level in anchors]
    shuffled = assign(
        [level[order] for level, order in zip(anchors, orders, strict=True)], [objects]
    )
    expected = assign(anchors, [objects])
    parts = expected.labels[0].split([len(level) for level in anchors])
    parts = [part[order] for part, order in zip(parts, orders, strict=True)]
    assert torch.equal(shuffled.labels[0], torch.cat(parts))


@quick
@given(seed=seeds, factor=st.sampled_from([0.5, 2.0, 16.0]))
def test_scale_of_the_image_does_not_matter(seed, factor):
    anchors, objects = make_anchors(), make_objects(6, seed)
    labels = assign(anchors, [objects]).labels
    objects.gt_boxes.scale(factor, factor)
    for level in anchors:
        level.scale(factor, factor)
    assert torch.equal(assign(anchors, [objects]).labels, labels)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_of_equally_near_anchors_the_first_are_candidates(stride):
    """The center of the image is as near to four anchors."""
    anchors = make_anchors([stride])
    distances = (anchors[0].get_centers() - 32).square().sum(1)
    nearest = (distances == distances.min()).nonzero().flatten()
    assert len(nearest) == 4
    labels = assign(anchors, [object_of([8, 8, 56, 56])], num_candidates=1).labels[0]
    assert (labels != NUM_CLASSES).nonzero().flatten().tolist() == [nearest[0]]


def test_of_equal_objects_the_first_gets_the_anchors():
    objects = make_objects(1, seed=3)
    twins = Instances.cat([objects, objects])
    twins.gt_classes = torch.tensor([4, 2])
    labels = assign(make_anchors(), [twins]).labels
    assert set(labels.flatten().tolist()) == {4, NUM_CLASSES}


@pytest.mark.parametrize(
    ("box", "label"),
    [([2, 2, 6, 6], 1), ([3.98, 2, 6, 6], 1), ([3.995, 2, 6, 6], 5), ([5, 5, 9, 9], 5)],
)
def test_a_single_anchor_belongs_to_an_object_around_its_center(box, label):
    anchors = [Boxes(torch.tensor([[0.0, 0, 8, 8]]))]
    assert assign(anchors, [object_of(box, label=1)]).labels.tolist() == [[label]]


def test_images_without_objects_are_background():
    anchors = make_anchors()
    targets = assign(anchors, [make_objects(0), make_objects(0)])
    assert (targets.labels == NUM_CLASSES).all() and targets.labels.dtype == torch.int64
    assert targets.labels.shape == (2, 84) and targets.gt_boxes.shape == (2, 84, 4)


def test_a_thousand_objects_in_an_image():
    objects = make_objects(1000, seed=5, largest=8)
    anchors = make_anchors()
    assert_targets_equal(
        assign(anchors, [objects]), [slow_atss(anchors, objects.gt_boxes)], [objects]
    )


def test_a_number_of_candidates_that_makes_no_sense_is_named():
    with pytest.raises(ValueError, match="num_candidates is 0; give a number >= 1"):
        ATSSAssigner(NUM_CLASSES, num_candidates=0)
