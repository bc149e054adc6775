"""The matcher equals its rule, written as loops; and the cases that made it necessary."""

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, pairwise_iou
from hypothesis import given
from hypothesis import strategies as st

from rankdet.modeling.matching import BestAnchorMatcher

RPN = [0.3, 0.7], [0, -1, 1]


def slow_matches(ious, low, high, min_iou):
    """One anchor and one object at a time, in double precision.

    Returns the label of each anchor, and the objects that it may have.
    """
    labels, allowed = [], []
    for column in zip(*ious, strict=True):
        most = max(column)
        allowed.append([i for i, iou in enumerate(column) if iou == most])
        labels.append(1 if most >= high else 0 if most < low else -1)
    for i, row in enumerate(ious):
        if max(row) >= min_iou and max(row) > 0:
            for anchor, iou in enumerate(row):
                if iou == max(row):
                    labels[anchor], allowed[anchor] = 1, [i]
    return labels, allowed


# Exact in binary, few enough for ties, and with the thresholds among them.
values = st.sampled_from([i / 16 for i in range(17)])


@given(data=st.data(), num_objects=st.integers(1, 5), num_anchors=st.integers(1, 12))
def test_equals_the_rule_one_pair_at_a_time(data, num_objects, num_anchors):
    row = st.lists(values, min_size=num_anchors, max_size=num_anchors)
    ious = data.draw(st.lists(row, min_size=num_objects, max_size=num_objects))
    low, high = sorted(data.draw(st.tuples(values, values)))
    low, min_iou = max(low, 1 / 16), data.draw(values)
    high = max(low, high)
    matches, labels = BestAnchorMatcher([low, high], [0, -1, 1], min_iou)(torch.tensor(ious))
    expected, allowed = slow_matches(ious, low, high, min_iou)
    assert labels.tolist() == expected
    assert all(match in objects for match, objects in zip(matches.tolist(), allowed, strict=True))


def test_an_iou_at_a_threshold_is_above_it():
    ious = torch.tensor([[0.7, 0.6999, 0.3, 0.2999, 0.9]])
    _, labels = BestAnchorMatcher(*RPN)(ious)
    assert labels.tolist() == [1, -1, -1, 0, 1]


@pytest.mark.parametrize(("best", "label"), [(0.2999, 0), (0.3, 1), (0.3001, 1)])
def test_the_best_anchor_is_positive_from_the_minimum_on(best, label):
    _, labels = BestAnchorMatcher(*RPN, min_iou=0.3)(torch.tensor([[best, 0.1]]))
    assert labels.tolist() == [label, 0]


def test_a_later_object_wins_an_anchor_that_is_the_best_of_several():
    matches, labels = BestAnchorMatcher(*RPN, min_iou=0.3)(torch.tensor([[0.9], [0.4], [0.29]]))
    assert matches.tolist() == [1] and labels.tolist() == [1]


def test_an_object_that_touches_no_anchor_changes_nothing():
    ious = torch.tensor([[0.8, 0.1, 0.0]])
    with_far_object = torch.cat([ious, torch.zeros(1, 3)])
    for matcher in (BestAnchorMatcher(*RPN), BestAnchorMatcher(*RPN, min_iou=0.3)):
        for found, expected in zip(matcher(with_far_object), matcher(ious), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("shape", [(0, 5), (0, 0), (3, 0)])
def test_without_objects_or_anchors_it_is_detectron2s(shape):
    matches, labels = BestAnchorMatcher(*RPN, min_iou=0.3)(torch.zeros(shape))
    expected = Matcher(*RPN, allow_low_quality_matches=True)(torch.zeros(shape))
    assert torch.equal(matches, expected[0]) and torch.equal(labels, expected[1])
    assert matches.dtype == torch.int64 and labels.dtype == torch.int8


def ious_with_anchors(*objects, strides, scales):
    """IoUs with three shapes of anchors per cell and scale on 256 x 256 pixels."""
    generator = DefaultAnchorGenerator(
        sizes=[[scale * stride for scale in scales] for stride in strides],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=strides,
        offset=0.0,
    )
    anchors = generator([torch.zeros(1, 1, 256 // stride, 256 // stride) for stride in strides])
    return pairwise_iou(Boxes(torch.tensor(objects)), Boxes.cat(anchors))


def test_an_rpn_makes_no_anchor_positive_for_an_object_of_8_pixels():
    small = [102.0, 104, 110, 112]
    ious = ious_with_anchors(small, strides=[4, 8, 16, 32, 64], scales=[8])
    _, before = Matcher(*RPN, allow_low_quality_matches=True)(ious)
    assert (before == 1).sum() == 35 and ious[0, before == 1].mean() == pytest.approx(0.0625)
    _, labels = BestAnchorMatcher(*RPN, min_iou=0.3)(ious)
    assert (labels == 1).sum() == 0


def test_a_retinanet_gives_an_object_of_3_pixels_inside_a_large_one_its_anchors():
    objects = [[8.0, 8, 248, 248], [128.0, 128, 131, 131]]
    ious = ious_with_anchors(*objects, strides=[8, 16, 32, 64, 128], scales=[4, 4 * 2**0.5])
    is_best = ious[1] == ious[1].max()
    before, kinds = Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)(ious)
    assert is_best.sum() > 9 and (kinds[is_best] == 1).all()
    assert (before[is_best] == 0).all()  # All of them trained the large one,
    assert ious[0, is_best].mean() == pytest.approx(0.018, abs=5e-4)  # at this IoU.
    matches, labels = BestAnchorMatcher([0.4, 0.5], [0, -1, 1])(ious)
    assert (matches[is_best] == 1).all() and (labels[is_best] == 1).all()
    assert (matches[~is_best] == before[~is_best]).all()
    assert (labels[~is_best] == kinds[~is_best]).all()


def test_a_minimum_that_is_no_iou_is_named():
    with pytest.raises(ValueError, match=r"min_iou is 1\.5; give a number >= 0 and <= 1"):
        BestAnchorMatcher(*RPN, min_iou=1.5)
