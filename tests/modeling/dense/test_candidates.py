"""Rules of candidates equal loops over anchors and classes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modeling.dense.anchor_scenes import quick, seeds

from rankdet.modeling.dense.candidates import Locations, Pairs


def make_scores(num_anchors, num_classes, seed):
    """Class scores, and those that rank, in another order; without ties."""
    generator = torch.Generator().manual_seed(seed)
    class_scores = torch.rand(num_anchors, num_classes, generator=generator)
    return class_scores, (class_scores * torch.rand(num_anchors, 1, generator=generator)).sqrt()


def slow_pairs(class_scores, scores, threshold, number):
    pairs = [
        (score, anchor, label)
        for anchor, row in enumerate(class_scores.tolist())
        for label, score in enumerate(row)
        if score > threshold
    ]
    return {(anchor, label) for _, anchor, label in sorted(pairs, reverse=True)[:number]}


def slow_locations(class_scores, scores, threshold, number):
    best = sorted(((max(row), anchor) for anchor, row in enumerate(scores.tolist())), reverse=True)
    return {
        (anchor, label)
        for _, anchor in best[:number]
        for label, score in enumerate(scores[anchor].tolist())
        if score > threshold
    }


RULES = {"pairs": (Pairs(), slow_pairs), "locations": (Locations(), slow_locations)}
rules = pytest.mark.parametrize(("rule", "slow"), RULES.values(), ids=RULES)


@rules
@quick
@given(
    seed=seeds,
    num_anchors=st.integers(0, 9),
    num_classes=st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    number=st.sampled_from([1, 3, 100]),
)
def test_equals_a_loop(rule, slow, seed, num_anchors, num_classes, threshold, number):
    tables = make_scores(num_anchors, num_classes, seed)
    anchors, classes = rule(*tables, threshold, number)
    found = list(zip(anchors.tolist(), classes.tolist(), strict=True))
    assert len(set(found)) == len(found) and set(found) == slow(*tables, threshold, number)


def test_rules_by_hand():
    """Anchor 0 has the better class, anchor 1 the better quality."""
    class_scores = torch.tensor([[0.9, 0.2], [0.8, 0.6]])
    scores = (class_scores * torch.tensor([[0.1], [1.0]])).sqrt()
    assert [x.tolist() for x in Pairs()(class_scores, scores, 0.3, 2)] == [[0, 1], [0, 0]]
    assert [x.tolist() for x in Locations()(class_scores, scores, 0.3, 1)] == [[1, 1], [0, 1]]
