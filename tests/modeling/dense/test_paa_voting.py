import math

import pytest
import torch
from detectron2.structures import Boxes, Instances
from hypothesis import given
from modeling.dense.anchor_scenes import quick, seeds, slow_iou

from rankdet.modeling.dense.paa_voting import ScoreVoting


def make_detections(num, seed=0, num_classes=3):
    generator = torch.Generator().manual_seed(seed)
    corners = 30 * torch.rand(num, 2, generator=generator)
    sizes = 1 + 40 * torch.rand(num, 2, generator=generator)
    return Instances(
        (80, 80),
        pred_boxes=Boxes(torch.cat([corners, corners + sizes], dim=1)),
        scores=torch.rand(num, generator=generator),
        pred_classes=torch.randint(0, num_classes, (num,), generator=generator),
    )


def slow_vote(kept, candidates, sigma):
    """One detection and one candidate at a time."""
    result = []
    for box, label in zip(kept.pred_boxes.tensor.tolist(), kept.pred_classes, strict=True):
        total, mean = 0.0, [0.0] * 4
        for index, other in enumerate(candidates.pred_boxes.tensor.tolist()):
            iou = slow_iou(box, other)
            if candidates.pred_classes[index] == label and iou > 0.01:
                weight = candidates.scores[index].item() * math.exp(-((1 - iou) ** 2) / sigma)
                total += weight
                mean = [m + weight * x for m, x in zip(mean, other, strict=True)]
        result.append([m / total for m in mean])
    return torch.tensor(result).reshape(-1, 4)


@pytest.mark.parametrize("sigma", [0.025, 0.5])
@quick
@given(seed=seeds)
def test_equals_a_loop_over_candidates(sigma, seed):
    candidates = make_detections(30, seed)
    kept = candidates[::4]
    voted = ScoreVoting(sigma)(kept, candidates)
    expected = slow_vote(kept, candidates, sigma)
    torch.testing.assert_close(voted.pred_boxes.tensor, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(voted.scores, kept.scores)
    assert torch.equal(voted.pred_classes, kept.pred_classes)


def test_votes_by_hand():
    """IoU 0.9 and score 0.5: weight 0.5 exp(-0.4); another class and an IoU of 0.01 do not vote."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [0, 0, 1, 1]])
    candidates = Instances(
        (20, 20),
        pred_boxes=Boxes(boxes),
        scores=torch.tensor([1.0, 0.5, 1.0, 1.0]),
        pred_classes=torch.tensor([1, 1, 0, 1]),
    )
    voted = ScoreVoting(sigma=0.025)(candidates[:1], candidates)
    weight = 0.5 * math.exp(-0.01 / 0.025)
    expected = [0, 0, 10, (10 + 9 * weight) / (1 + weight)]
    assert voted.pred_boxes.tensor.tolist() == [pytest.approx(expected)]


@quick
@given(seed=seeds)
def test_order_of_candidates_does_not_matter(seed):
    candidates = make_detections(20, seed)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    voted = ScoreVoting()(candidates[:5], candidates).pred_boxes.tensor
    shuffled = ScoreVoting()(candidates[:5], candidates[order]).pred_boxes.tensor
    torch.testing.assert_close(voted, shuffled, rtol=1e-6, atol=1e-5)


@quick
@given(seed=seeds)
def test_boxes_stay_inside_the_hull_of_the_candidates(seed):
    candidates = make_detections(20, seed)
    voted = ScoreVoting()(candidates[:5], candidates).pred_boxes.tensor
    boxes = candidates.pred_boxes.tensor
    assert (voted >= boxes.amin(0) - 1e-4).all() and (voted <= boxes.amax(0) + 1e-4).all()


def test_a_box_without_voters_stays():
    """A box without area overlaps nothing, not even itself."""
    kept = make_detections(3)
    kept.pred_boxes.tensor[1] = torch.tensor([5.0, 5, 5, 9])
    voted = ScoreVoting()(kept, kept)
    assert voted.pred_boxes.tensor[1].tolist() == [5, 5, 5, 9]
    assert not voted.pred_boxes.tensor.isnan().any()


def test_arguments_are_left_as_they_were():
    candidates = make_detections(20)
    kept = candidates[:5]
    before = kept.pred_boxes.tensor.clone()
    voted = ScoreVoting()(kept, candidates)
    assert torch.equal(kept.pred_boxes.tensor, before)
    assert not torch.equal(voted.pred_boxes.tensor, before)


def test_autocast_changes_nothing():
    candidates = make_detections(20)
    expected = ScoreVoting()(candidates[:5], candidates).pred_boxes.tensor
    with torch.autocast("cpu", dtype=torch.bfloat16):
        voted = ScoreVoting()(candidates[:5], candidates).pred_boxes.tensor
    assert torch.equal(voted, expected)


@pytest.mark.parametrize("num_candidates", [0, 4])
def test_no_detections(num_candidates):
    candidates = make_detections(num_candidates)
    assert ScoreVoting()(candidates[:0], candidates).pred_boxes.tensor.shape == (0, 4)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan])
def test_a_sigma_that_makes_no_sense_is_named(sigma):
    with pytest.raises(ValueError, match=f"sigma is {sigma}, .* give a number above 0"):
        ScoreVoting(sigma)
