"""The one-stage detector equals Detectron2's RetinaNet and FCOS where they mean the same."""

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.meta_arch import FCOS, RetinaNet
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from support.tiny_one_stage import (
    PIXELS,
    TwoLevels,
    fcos_head,
    make_fcos,
    make_matcher,
    make_retinanet,
    retinanet_anchors,
    retinanet_head,
)
from support.tiny_two_stage import NUM_CLASSES, make_image

from rankdet.losses import SoftmaxCrossEntropyLoss
from rankdet.modeling.dense.quality import Centerness

IMAGES = [make_image([0, 1], 1), make_image([], 2), make_image([2, 2, 0], 3)]
TEST = dict(test_score_thresh=0.01, test_nms_thresh=0.6, max_detections_per_image=20)


class UnweightedCenterness(Centerness):
    """As in Detectron2, where all boxes count alike."""

    def __call__(self, logits, anchors, gt_boxes, ious):
        weights, loss = super().__call__(logits, anchors, gt_boxes, ious)
        return torch.ones_like(weights), loss


def detectron2_retinanet():
    return RetinaNet(
        backbone=TwoLevels(),
        head=retinanet_head(),
        head_in_features=["p3", "p4"],
        anchor_generator=retinanet_anchors(),
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        anchor_matcher=make_matcher(),
        num_classes=NUM_CLASSES,
        box_reg_loss_type="giou",
        **TEST,
        **PIXELS,
    )


def detectron2_fcos():
    parts = dict(backbone=TwoLevels(), head=fcos_head(), head_in_features=["p3", "p4"])
    return FCOS(**parts, num_classes=NUM_CLASSES, **TEST, **PIXELS)


def run(model):
    """Losses, and the number of positives that they are divided by."""
    with EventStorage() as storage:
        losses = model(IMAGES)
    return losses, storage.latest()["num_pos_anchors"][0] * len(IMAGES)


RETINANET = {"loss_cls": "loss_cls", "loss_box_reg": "loss_box_reg"}
PAIRS = {
    "RetinaNet": (lambda: make_retinanet(**TEST), detectron2_retinanet, RETINANET),
    "FCOS": (
        lambda: make_fcos(quality=UnweightedCenterness(), **TEST),
        detectron2_fcos,
        {
            "loss_cls": "loss_fcos_cls",
            "loss_box_reg": "loss_fcos_loc",
            "loss_quality": "loss_fcos_ctr",
        },
    ),
}
pairs = pytest.mark.parametrize(("ours", "theirs", "names"), PAIRS.values(), ids=PAIRS)


@pairs
def test_losses_and_gradients_are_detectron2_s(ours, theirs, names):
    model, detectron2 = ours(), theirs()
    detectron2.load_state_dict(model.state_dict())
    losses, num_pos = run(model)
    expected, expected_num_pos = run(detectron2)
    assert num_pos == expected_num_pos > 0 and losses.keys() == names.keys()
    scale = detectron2.loss_normalizer / num_pos  # Detectron2 divides by a running mean.
    for name, other in names.items():
        torch.testing.assert_close(losses[name], scale * expected[other])
    gradients = torch.autograd.grad(sum(losses.values()), list(model.parameters()))
    slow = torch.autograd.grad(sum(expected.values()), list(detectron2.parameters()))
    for gradient, other in zip(gradients, slow, strict=True):
        torch.testing.assert_close(gradient, scale * other, rtol=1e-4, atol=1e-6)


def test_boxes_count_by_their_centerness():
    weighted, unweighted = make_fcos(), make_fcos(quality=UnweightedCenterness())
    losses, expected = run(weighted)[0], run(unweighted)[0]
    assert losses["loss_quality"] == expected["loss_quality"]
    assert losses["loss_box_reg"] != expected["loss_box_reg"]
    calls, box_loss = [], weighted.box_loss
    weighted.box_loss = lambda *args: calls.append((args, box_loss(*args))) or calls[0][1]
    run(weighted)
    (_, anchors, gt_boxes, _), (ious, box_losses) = calls[0]
    centerness = Centerness().targets(anchors, gt_boxes, ious)
    mean = (centerness * box_losses).sum() / centerness.sum()
    torch.testing.assert_close(losses["loss_box_reg"], mean)


@pytest.mark.parametrize("prior_prob", [0.01, 0.2])
def test_the_first_scores_are_the_prior(prior_prob):
    model = make_retinanet(prior_prob=prior_prob)
    logits, _ = model.head([torch.zeros(1, 8, 2, 2)] * 2)
    torch.testing.assert_close(logits[0].sigmoid(), torch.full_like(logits[0], prior_prob))


def test_voting_sees_detections_and_candidates():
    def vote(detections, candidates):
        calls.append((len(detections), len(candidates)))
        detections.pred_boxes.tensor.zero_()
        return detections

    calls = []
    model = make_retinanet(box_voting=vote, test_score_thresh=1e-4, max_detections_per_image=7)
    result = model.eval()(IMAGES[:1])[0]["instances"]
    ((num_detections, num_candidates),) = calls
    # 36 cells of 8 px and 9 of 16 px, 4 anchors each
    assert num_detections == 7 and num_candidates == (36 + 9) * 4 * NUM_CLASSES
    assert isinstance(result, Instances) and len(result) == 0  # voted to be empty


def test_parts_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="num_classes is 5, but the loss was built for 3"):
        make_retinanet(num_classes=5)
    with pytest.raises(ValueError, match=r"cls_score has 20 outputs, but 4 .* 3 logits .* need 12"):
        make_retinanet(head=retinanet_head(5))
    with pytest.raises(ValueError, match=r"4 logits of SoftmaxCrossEntropyLoss need 16.*=4"):
        make_retinanet(SoftmaxCrossEntropyLoss(NUM_CLASSES))
    with pytest.raises(ValueError, match="prior_prob is 0"):
        make_retinanet(prior_prob=0)
    for model in (make_fcos(quality=None), make_retinanet(quality=Centerness())):
        with pytest.raises(ValueError, match=r"quality is .*, but the head predicts [23] things"):
            run(model)


def test_levels_with_other_numbers_of_anchors_are_named():
    anchors = DefaultAnchorGenerator(
        sizes=[[8, 12], [16]], aspect_ratios=[1.0, 2.0], strides=[8, 16]
    )
    with pytest.raises(ValueError, match=r"anchor_generator has \[4, 2\] anchors per cell"):
        make_retinanet(anchor_generator=anchors)


def padded_images():
    """One image of 48 x 48 pixels, and one that fills a third of the batch."""
    small = make_image([0, 2], 5)
    small["image"] = small["image"][:, :32, :24]
    boxes = Boxes(torch.tensor([[2.0, 3, 15, 20], [8.0, 6, 23, 30]]))
    small["instances"] = Instances(
        (32, 24), gt_boxes=boxes, gt_classes=small["instances"].gt_classes
    )
    return [IMAGES[0], small]


@pytest.mark.parametrize("divisor", [None, 8, 16])
def test_padding_is_ignored_where_it_is_asked_for(divisor):
    """Strides are 8 and 16; what is over padding is no row of the loss and has no gradient."""
    model, outputs = make_retinanet(padding_divisor=divisor), []

    def keep(module, args, output):
        for level in output[0]:
            level.retain_grad()
            outputs.append(level)

    model.head.register_forward_hook(keep)
    with EventStorage():
        sum(model(padded_images()).values()).backward()
    for level, stride in zip(outputs, (8, 16), strict=True):
        is_trained = level.grad.abs().sum(1) > 0
        assert is_trained[0].all()
        for y in range(48 // stride):
            for x in range(48 // stride):
                height, width = 32, 24 if divisor == 8 else 32
                is_on_image = divisor is None or (y * stride < height and x * stride < width)
                assert is_trained[1, y, x] == is_on_image


def test_a_divisor_of_nothing_is_named():
    with pytest.raises(ValueError, match="padding_divisor is 0"):
        make_retinanet(padding_divisor=0)
