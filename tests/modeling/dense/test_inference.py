"""Detections equal loops: candidates, clipping, non-maximum suppression, voting."""

import pytest
import torch
from detectron2.structures import ImageList
from modeling.dense.slow_inference import slow_detections
from support.tiny_one_stage import make_fcos, make_retinanet
from support.tiny_two_stage import CHANNELS
from torch import nn

from rankdet.modeling.dense.candidates import Locations, Pairs
from rankdet.modeling.dense.paa_voting import ScoreVoting

SIZES, NUMBERS = [(48, 40), (30, 48)], (12, 9)
MAKERS = {"RetinaNet": make_retinanet, "FCOS": make_fcos}
RULES = {"pairs": Pairs, "locations": Locations}


def make_model(name, rule, *, votes=False, threshold=0.3):
    model = MAKERS[name](
        candidates=RULES[rule](),
        box_voting=ScoreVoting(0.1) if votes else None,
        test_score_thresh=threshold,
        test_nms_thresh=0.4,
        test_topk_candidates=NUMBERS[0],
        max_detections_per_image=NUMBERS[1],
        prior_prob=0.3,
    )
    for weight in model.head.parameters():
        if weight.dim() == 4:
            nn.init.normal_(weight, std=0.2)
    return model.eval()


def make_features(seed=0):
    """Of a batch of 48 x 48 pixels, to which both images are padded."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, CHANNELS, size, size, generator=generator) for size in (6, 3)]


def levels_of(model, features, image):
    """Anchors and predictions of one image, by level, as anchors of the cells have them."""
    anchors = model.anchor_generator(features)
    logits, deltas, *others = model._by_anchor(model.head(features))
    return [
        (anchors[n].tensor, logits[n][image], deltas[n][image], *(x[n][image] for x in others))
        for n in range(len(features))
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("votes", [False, True])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_equals_loops(name, rule, votes, seed):
    model, features = make_model(name, rule, votes=votes), make_features(seed)
    images = ImageList(torch.zeros(2, 3, 48, 48), SIZES)
    results = model.forward_inference(images, features, model.head(features))
    for image, (size, result) in enumerate(zip(SIZES, results, strict=True)):
        levels = [(*x, None)[:4] for x in levels_of(model, features, image)]
        expected = slow_detections(
            levels,
            size,
            model.box2box_transform,
            by_location=rule == "locations",
            thresholds=(0.3, 0.4),
            numbers=NUMBERS,
            sigma=0.1 if votes else None,
        )
        scores, classes, boxes = zip(*expected, strict=True)
        assert result.pred_classes.tolist() == list(classes)
        torch.testing.assert_close(result.scores, torch.tensor(scores))
        torch.testing.assert_close(
            result.pred_boxes.tensor, torch.tensor(boxes), rtol=1e-4, atol=1e-3
        )


@torch.no_grad()
def test_boxes_end_at_the_image_and_have_an_area():
    model, features = make_model("RetinaNet", "pairs", threshold=0.01), make_features()
    nn.init.constant_(model.head.bbox_pred.bias, 1.5)  # far to the right and below
    results = model.forward_inference(
        ImageList(torch.zeros(2, 3, 48, 48), SIZES), features, model.head(features)
    )
    for (height, width), result in zip(SIZES, results, strict=True):
        boxes = result.pred_boxes.tensor
        assert len(boxes) > 0 and result.pred_boxes.nonempty().all()
        assert boxes.min() >= 0 and boxes[:, 2].max() == width and boxes[:, 3].max() == height


@torch.no_grad()
def test_an_image_that_no_box_touches_has_no_detections():
    model, features = make_model("RetinaNet", "pairs", threshold=0.01), make_features()
    nn.init.zeros_(model.head.bbox_pred.weight)
    nn.init.constant_(model.head.bbox_pred.bias, 100.0)
    results = model.forward_inference(
        ImageList(torch.zeros(2, 3, 48, 48), SIZES), features, model.head(features)
    )
    assert [len(result) for result in results] == [0, 0]


def test_pairs_are_the_default():
    assert isinstance(make_retinanet().candidates, Pairs)
