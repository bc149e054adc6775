"""RetinaNet's and FCOS's assignment equal Detectron2's, and FCOS's the rule of the paper."""

import pytest
import torch
from detectron2.modeling.meta_arch import FCOS, RetinaNet
from detectron2.structures import Boxes, Instances
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_one_stage import STRIDES, make_matcher, point_anchors, retinanet_anchors
from torch import nn

from rankdet.modeling.dense.assignment import (
    AnchorTargets,
    CenterAssigner,
    IoUAssigner,
    OnImageAssigner,
    find_positives,
)
from rankdet.modeling.dense.atss import ATSSAssigner

NUM_CLASSES, SIZE = 5, 96
UNUSED = torch.empty(0)


def make_gt(num_objects, seed, offset=0.3):
    """Objects whose areas differ by more than the 8 square pixels of Detectron2's precision."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 60, (num_objects, 2), generator=generator).float()
    width = torch.randint(6, 60, (num_objects, 1), generator=generator).float()
    area = 200 + 300 * torch.randperm(num_objects, generator=generator)[:, None]
    corners += offset  # Of points at whole pixels: no side is just 4 or 8 strides away.
    boxes = torch.cat([corners, corners + torch.cat([width, area / width], dim=1)], dim=1)
    return Instances(
        (SIZE, SIZE),
        gt_boxes=Boxes(boxes),
        gt_classes=torch.randint(0, NUM_CLASSES, (num_objects,), generator=generator),
    )


def anchors_of(generator, height=SIZE, width=SIZE):
    return generator([torch.zeros(1, 1, height // stride, width // stride) for stride in STRIDES])


def detectron2_retinanet():
    class Labels(nn.Module):
        label_anchors, num_classes = RetinaNet.label_anchors, NUM_CLASSES
        anchor_matcher = make_matcher()

    return Labels()


def detectron2_fcos():
    class Labels(nn.Module):
        label_anchors, _match_anchors = FCOS.label_anchors, FCOS._match_anchors
        num_classes, center_sampling_radius = NUM_CLASSES, 1.5

    return Labels()


RULES = {
    "RetinaNet": (
        IoUAssigner(make_matcher(), NUM_CLASSES),
        detectron2_retinanet(),
        retinanet_anchors(),
    ),
    "FCOS": (CenterAssigner(NUM_CLASSES), detectron2_fcos(), point_anchors()),
}
rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
images = st.lists(st.integers(0, 6), min_size=1, max_size=3)
seeds = st.integers(0, 1000)


@rules
@given(numbers=images, seed=seeds)
def test_equals_detectron2(rule, numbers, seed):
    assign, detectron2, generator = rule
    anchors = anchors_of(generator)
    gts = [make_gt(number, seed + i) for i, number in enumerate(numbers)]
    targets = assign(anchors, gts, UNUSED, UNUSED)
    labels, boxes = map(torch.stack, detectron2.label_anchors(anchors, gts))
    assert torch.equal(targets.labels, labels)
    is_foreground = (labels >= 0) & (labels < NUM_CLASSES)
    assert torch.equal(targets.gt_boxes[is_foreground], boxes[is_foreground])


def slow_center_labels(anchors, gt):
    """One point and one object at a time."""
    labels = []
    for level, (boxes, stride) in enumerate(zip(anchors, STRIDES, strict=True)):
        nearest = 0 if level == 0 else 4 * stride
        farthest = float("inf") if level == len(STRIDES) - 1 else 8 * stride
        for x, y in boxes.get_centers().tolist():
            matches = []
            objects = zip(gt.gt_boxes.tensor.tolist(), gt.gt_classes.tolist(), strict=True)
            for (x1, y1, x2, y2), label in objects:
                sides = [x - x1, y - y1, x2 - x, y2 - y]
                offset = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
                if min(sides) > 0 and offset < 1.5 * stride and nearest <= max(sides) <= farthest:
                    matches.append(((x2 - x1) * (y2 - y1), label))
            labels.append(min(matches)[1] if matches else NUM_CLASSES)
    return labels


@given(number=st.integers(0, 8), seed=seeds)
def test_fcos_equals_the_rule_one_point_at_a_time(number, seed):
    anchors, gt = anchors_of(point_anchors()), make_gt(number, seed, offset=0)
    targets = CenterAssigner(NUM_CLASSES)(anchors, [gt], UNUSED, UNUSED)
    assert targets.labels[0].tolist() == slow_center_labels(anchors, gt)


@rules
@given(seed=seeds)
def test_the_order_of_objects_does_not_matter(rule, seed):
    assign, _, generator = rule
    anchors, gt = anchors_of(generator), make_gt(6, seed)
    shuffled = gt[torch.randperm(6, generator=torch.Generator().manual_seed(seed))]
    first, second = (assign(anchors, [x], UNUSED, UNUSED) for x in (gt, shuffled))
    assert torch.equal(first.labels == NUM_CLASSES, second.labels == NUM_CLASSES)
    assert torch.equal(first.labels == -1, second.labels == -1)


class LogitAssigner:
    """Anchors take the label 0 or background by the sign of their logit, and their own deltas."""

    def __call__(self, anchors, gt_instances, logits, deltas):
        assert logits.shape[:2] == (len(gt_instances), sum(len(level) for level in anchors))
        return AnchorTargets((logits[..., 0] > 0).long() * NUM_CLASSES, deltas)


SIZES = [(60, 33), (96, 64), (50, 64), (64, 96)]  # padded to 64 x 64, 96 x 64, 64 x 64, 64 x 96
ON_IMAGE = [IoUAssigner(make_matcher(), NUM_CLASSES), ATSSAssigner(NUM_CLASSES), LogitAssigner()]


@pytest.mark.parametrize("assign", ON_IMAGE, ids=lambda x: type(x).__name__)
def test_an_image_in_a_batch_is_labeled_as_alone_and_padding_is_ignored(assign):
    generator = retinanet_anchors()
    anchors = anchors_of(generator)
    num_anchors = sum(len(level) for level in anchors)
    logits, deltas = torch.randn(4, num_anchors, NUM_CLASSES), torch.randn(4, num_anchors, 4)
    gts = [Instances(size, **make_gt(4, seed).get_fields()) for seed, size in enumerate(SIZES)]
    for gt, (height, width) in zip(gts, SIZES, strict=True):
        gt.gt_boxes.clip((height, width))
    targets = OnImageAssigner(assign, generator)(anchors, gts, logits, deltas)
    for image, gt in enumerate(gts):
        height, width = (32 * -(-side // 32) for side in gt.image_size)
        is_own = torch.cat(
            [
                (level.tensor[:, 0] + level.tensor[:, 2] < 2 * width)
                & (level.tensor[:, 1] + level.tensor[:, 3] < 2 * height)
                for level in anchors
            ]
        )
        own = slice(image, image + 1), is_own
        alone = anchors_of(generator, height, width)
        expected = assign(alone, [gt], logits[own], deltas[own])
        assert torch.equal(targets.labels[own], expected.labels)
        assert torch.equal(targets.gt_boxes[own], expected.gt_boxes)
        assert (targets.labels[image, ~is_own] == -1).all() and (~is_own).any()


def test_a_side_of_eight_strides_belongs_to_two_levels():
    """From (12, 12) to the right 64 pixels: 8 strides of the finest level, 4 of the next."""
    gt = Instances(
        (SIZE, SIZE), gt_boxes=Boxes(torch.tensor([[8.0, 8, 76, 76]])), gt_classes=torch.tensor([1])
    )
    anchors = [Boxes(torch.tensor([[12 - s, 12 - s, 12 + s, 12 + s]])) for s in (4.0, 8.0, 16.0)]
    targets = CenterAssigner(NUM_CLASSES, radius=float("inf"))(anchors, [gt], UNUSED, UNUSED)
    assert targets.labels.tolist() == [[1, 1, NUM_CLASSES]]


def test_fcos_takes_the_smaller_of_two_objects_of_almost_equal_size():
    boxes = Boxes(torch.tensor([[4.0, 4, 34, 34.1], [4.0, 4, 34, 34]]))
    gt = Instances((SIZE, SIZE), gt_boxes=boxes, gt_classes=torch.tensor([0, 1]))
    targets = CenterAssigner(NUM_CLASSES)(anchors_of(point_anchors()), [gt], UNUSED, UNUSED)
    assert set(targets.labels.unique().tolist()) == {1, NUM_CLASSES}


def test_foreground_is_in_row_order_without_background_and_ignored():
    anchors = [Boxes(torch.rand(2, 4)), Boxes(torch.rand(1, 4))]
    labels = torch.tensor([[1, -1, 0], [NUM_CLASSES, 2, -1]])
    positives = find_positives(AnchorTargets(labels, torch.rand(2, 3, 4)), anchors, NUM_CLASSES)
    assert positives.images.tolist() == [0, 0, 1] and positives.indices.tolist() == [0, 2, 1]
    assert torch.equal(positives.anchors[1], anchors[1].tensor[0])
    predictions = torch.rand(2, 3, 7)
    assert torch.equal(positives.take(predictions), predictions[[0, 0, 1], [0, 2, 1]])


def test_a_radius_without_points_is_named():
    with pytest.raises(ValueError, match="radius is 0, where no point has an object"):
        CenterAssigner(NUM_CLASSES, radius=0)
