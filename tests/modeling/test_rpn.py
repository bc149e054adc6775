from functools import partial

import pytest
import torch
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import EventStorage
from losses.ranking_modules import MODULES
from modeling.slow_heads import slow_losses
from support.tiny_two_stage import CHANNELS, SIZE, STRIDE, make_rpn, make_targets, rpn_parts

from rankdet.losses import (
    ALRPLoss,
    FocalLoss,
    RankSortLoss,
    SigmoidBCELoss,
    SoftmaxCrossEntropyLoss,
)
from rankdet.modeling.box_losses import L1BoxLoss

modules = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
TARGETS = [[0, 1], [], [2]]


def make_inputs(classes=TARGETS):
    generator = torch.Generator().manual_seed(1)
    shape = (len(classes), CHANNELS, SIZE // STRIDE, SIZE // STRIDE)
    features = {"p3": 5 * torch.randn(shape, generator=generator)}
    images = ImageList(torch.zeros(len(classes), 3, SIZE, SIZE), [(SIZE, SIZE)] * len(classes))
    targets = [make_targets(image, seed) for seed, image in enumerate(classes)]
    return images, features, targets


def plain_rpn(**options):
    return RPN(**rpn_parts(), **options)


def run(rpn, classes=TARGETS):
    """Losses, and the arguments that :meth:`LossRPN.losses` was called with."""
    calls, losses = [], rpn.losses
    rpn.losses = lambda *args: calls.append(args) or losses(*args)
    with EventStorage() as storage:
        _, result = rpn(*make_inputs(classes))
    return result, calls[0], storage


def anchor_rows(anchors, logits, labels, deltas, gt_boxes):
    """One row per anchor: of every image the levels, one after the other."""
    rows = []
    for image in range(len(labels)):
        index = 0
        for level, level_anchors in enumerate(anchors):
            for n, anchor in enumerate(level_anchors.tensor):
                label = {1: 0, 0: 1, -1: -1}[int(labels[image][index])]
                row = logits[level][image, n].reshape(1), label, deltas[level][image, n]
                rows.append((*row, anchor, gt_boxes[image][index]))
                index += 1
    return rows


@modules
def test_equals_a_computation_one_anchor_at_a_time(make):
    torch.manual_seed(0)
    rpn = make_rpn(make(1).eval(), loss_weight=0.5)
    losses, call, _ = run(rpn)
    rows = anchor_rows(*call)
    assert {row[1] for row in rows} == {0, 1, -1} and len(rows) == 3 * 6 * 6 * 2
    expected, surrogate = slow_losses(rpn.loss, rows, rpn.box2box_transform)
    names = {"loss_box_reg": "loss_rpn_loc"}
    expected = {
        names.get(name, name.replace("loss_", "loss_rpn_")): 0.5 * x for name, x in expected.items()
    }
    assert {name: x.item() for name, x in losses.items()} == pytest.approx(expected, rel=1e-4)
    weights = list(rpn.parameters())
    actual = torch.autograd.grad(sum(losses.values()), weights, retain_graph=True)
    for gradient, slow in zip(actual, torch.autograd.grad(surrogate, weights), strict=True):
        torch.testing.assert_close(gradient, slow / 2, rtol=1e-3, atol=1e-5)


def test_no_anchor_is_sampled_away():
    rpn = make_rpn(RankSortLoss(1))
    _, (anchors, _, labels, _, _), _ = run(rpn)
    for target, image_labels in zip(make_inputs()[2], labels, strict=True):
        _, expected = rpn.anchor_matcher(pairwise_iou(target.gt_boxes, anchors[0]))
        assert torch.equal(image_labels, expected)
    assert (labels[1] == 0).all()


@modules
def test_without_objects_every_layer_gets_a_zero_gradient(make):
    rpn = make_rpn(make(1))
    losses, _, _ = run(rpn, [[], []])
    sum(losses.values()).backward()
    assert all(x == 0 for x in losses.values())
    assert all((p.grad == 0).all() for p in rpn.parameters())


def test_proposals_without_annotations_in_evaluation():
    rpn = make_rpn(RankSortLoss(1)).eval()
    images, features, _ = make_inputs()
    proposals, losses = rpn(images, features)
    assert losses == {} and [len(x) > 0 for x in proposals] == [True] * 3


def test_proposals_that_overlap_more_than_nms_thresh_are_dropped():
    images, features, _ = make_inputs()
    numbers = []
    for nms_thresh in (0.1, 0.9):
        torch.manual_seed(0)
        rpn = make_rpn(RankSortLoss(1), nms_thresh=nms_thresh).eval()
        numbers.append(sum(map(len, rpn(images, features)[0])))
    assert numbers[0] < numbers[1]


def test_anchors_outside_the_image_are_ignored_by_a_threshold():
    _, (anchors, _, labels, _, _), _ = run(make_rpn(RankSortLoss(1), anchor_boundary_thresh=0))
    is_inside = anchors[0].inside_box((SIZE, SIZE))
    assert (labels[1] == torch.where(is_inside, 0, -1)).all() and not is_inside.all()


def label_corner_object(size, **options):
    """Labels of an image in a batch of 48 x 48, whose best anchor for its object is outside."""
    rpn = make_rpn(RankSortLoss(1), **options)
    gt = Instances(size, gt_boxes=Boxes(torch.tensor([[20.0, 20, 33, 33]])))
    anchors = rpn.anchor_generator([torch.zeros(1, 1, 6, 6)])
    labels, boxes = rpn.label_and_sample_anchors(anchors, [gt])
    assert torch.equal(boxes[0][labels[0] == 1][0], gt.gt_boxes.tensor[0])
    return anchors[0], labels[0]


@pytest.mark.parametrize("options", [{"padding_divisor": 12}, {"anchor_boundary_thresh": 0}])
def test_an_object_has_its_best_anchor_among_those_of_its_image(options):
    size = (33, 33) if "anchor_boundary_thresh" in options else (24, 24)
    anchors, labels = label_corner_object(size, **options)
    centers = anchors.get_centers()
    is_own = (centers < 24).all(1) if "padding_divisor" in options else anchors.inside_box(size, 0)
    assert (labels[~is_own] == -1).all() and (~is_own).any()
    gt = Boxes(torch.tensor([[20.0, 20, 33, 33]]))
    _, expected = make_rpn(RankSortLoss(1)).anchor_matcher(pairwise_iou(gt, anchors[is_own]))
    assert torch.equal(labels[is_own], expected) and (expected == 1).any()
    _, before = label_corner_object(size)
    assert (before[is_own] != 1).all() and (before == 1).any()  # Its best anchor was outside.


def test_alrp_logs_its_balance():
    _, _, storage = run(make_rpn(ALRPLoss(1, iou_threshold=0.7)))
    assert storage.latest()["rpn/box_weight"] == (50, 0)


def test_a_loss_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"num_classes=1 and 2 logits, but an RPN tells .* by one"):
        make_rpn(SoftmaxCrossEntropyLoss(1))
    with pytest.raises(ValueError, match="batch_size_per_image is 0; sample at least one anchor"):
        make_rpn(RankSortLoss(1), batch_size_per_image=0)
    with pytest.raises(ValueError, match="padding_divisor is 0; give the number of pixels"):
        make_rpn(RankSortLoss(1), padding_divisor=0)
    with pytest.raises(ValueError, match=r"num_classes=80 and 80 .*; give it a loss .*num_classes"):
        make_rpn(RankSortLoss(80))


def test_sampling_and_cross_entropy_make_it_detectron2s_rpn():
    sampling, losses = {"batch_size_per_image": 8, "positive_fraction": 0.5}, []
    for make in (partial(make_rpn, SigmoidBCELoss(1), box_loss=L1BoxLoss()), plain_rpn):
        torch.manual_seed(0)
        rpn = make(**sampling)
        torch.manual_seed(1)
        losses.append(run(rpn)[0])
    assert set(losses[0]) == set(losses[1]) == {"loss_rpn_cls", "loss_rpn_loc"}
    for name, value in losses[0].items():
        torch.testing.assert_close(value, losses[1][name])
        assert value > 0


def test_sampled_anchors_teach_and_the_others_do_not():
    rpn = make_rpn(FocalLoss(1), batch_size_per_image=4)
    result, (_, _, labels, _, _), _ = run(rpn)
    assert [(image >= 0).sum() <= 4 for image in labels] == [True] * 3
    assert all(torch.isfinite(x) for x in result.values())
