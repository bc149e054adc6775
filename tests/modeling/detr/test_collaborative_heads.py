"""Collaborative heads are rankdet's detectors on the encoder's maps, and hand their rows on."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from modeling.detr.collaborative_toy import (
    NAMES,
    SIZES,
    STRIDES,
    make_atss,
    make_gt,
    make_images,
    make_maps,
    make_rcnn,
    make_roi_heads,
    make_rpn,
)
from support.tiny_detr import WIDTH
from support.tiny_two_stage import NUM_CLASSES, make_mask_head
from torchvision.ops import box_iou, roi_align

from rankdet.losses import RankSortLoss
from rankdet.modeling import CascadeHeads, IterativeROIHeads
from rankdet.modeling.detr.collaborative_heads import CollaborativeRCNN

HEADS = {
    "ATSS": make_atss,
    "ATSS, two anchors": lambda **options: make_atss(num_anchors=2, **options),
    "ATSS, RS": lambda **options: make_atss(RankSortLoss(NUM_CLASSES), quality=None, **options),
    "R-CNN": make_rcnn,
    "R-CNN, RS": lambda **options: make_rcnn(RankSortLoss(NUM_CLASSES), RankSortLoss(1), **options),
}
heads = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
CLASSES = [[0, 2, 1], [1]]


def train(head, classes=CLASSES, maps=None):
    gt_instances = [make_gt(labels, image) for image, labels in enumerate(classes)]
    with EventStorage():
        losses, positives = head(make_images(), maps or make_maps(), gt_instances)
    return losses, positives, gt_instances


def seeded(make, **options):
    torch.manual_seed(0)
    return make(**options)


@heads
def test_all_losses_have_the_weight(make):
    one, twelve = (train(seeded(make, loss_weight=weight))[0] for weight in (1.0, 12.0))
    assert one.keys() == twelve.keys() and all(loss > 0 for loss in one.values())
    for name, loss in one.items():
        torch.testing.assert_close(12 * loss, twelve[name])


def test_atss_is_the_one_stage_detector():
    head, maps = seeded(make_atss, loss_weight=1.0), make_maps()
    losses, _, gt_instances = train(head, maps=maps)
    detector = head.detector
    with EventStorage():
        expected = detector.forward_training(None, maps, detector.head(maps), gt_instances)
    assert losses.keys() == expected.keys() == {"loss_cls", "loss_box_reg", "loss_quality"}
    assert all(losses[name] == loss for name, loss in expected.items())


@pytest.mark.parametrize("num_anchors", [1, 2])
def test_rows_of_atss_are_its_anchors_with_the_feature_of_their_cell(num_anchors):
    head, maps = seeded(make_atss, num_anchors=num_anchors), make_maps()
    _, positives, gt_instances = train(head, maps=maps)
    row = 0
    for stride, level in zip(STRIDES, maps, strict=True):
        for y in range(level.shape[2]):
            for x in range(level.shape[3]):
                for anchor in range(num_anchors):
                    side = 2 * stride + 4 * anchor
                    center = torch.tensor([(x + 0.5) * stride, (y + 0.5) * stride])
                    box = torch.cat([center - side / 2, center + side / 2])
                    assert torch.equal(positives.boxes[1, row], box)
                    feature = positives.features[:, row // num_anchors]
                    assert torch.equal(feature, level[:, :, y, x])
                    row += 1
    assert positives.labels.shape == (2, row)
    for image, gt in enumerate(gt_instances):
        rows = (positives.labels[image] < NUM_CLASSES).nonzero()[:, 0]
        assert set(positives.labels[image, rows].tolist()) == set(CLASSES[image])
        objects = [gt.gt_classes.tolist().index(i) for i in positives.labels[image, rows].tolist()]
        assert torch.equal(positives.gt_boxes[image, rows], gt.gt_boxes.tensor[objects])


def test_rcnn_is_the_two_stage_detector():
    head, maps = seeded(make_rcnn, loss_weight=1.0), make_maps()
    losses, _, gt_instances = train(head, maps=maps)
    features = dict(zip(NAMES, maps, strict=True))
    with EventStorage():
        proposals, expected = head.proposal_generator(make_images(), features, gt_instances)
        expected.update(head.roi_heads(None, features, proposals, gt_instances)[1])
    assert losses.keys() == expected.keys()
    assert losses.keys() == {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}
    assert all(losses[name] == loss for name, loss in expected.items())


def test_rows_of_rcnn_are_its_proposals_with_the_mean_of_their_pooled_features():
    head, maps = seeded(make_rcnn), make_maps()
    _, positives, gt_instances = train(head, maps=maps)
    assert not positives.boxes.requires_grad
    numbers = (positives.labels >= 0).sum(dim=1).tolist()
    assert max(numbers) == positives.labels.shape[1] > min(numbers)
    for image, gt in enumerate(gt_instances):
        count = numbers[image]
        assert (positives.labels[image, count:] == -1).all()
        boxes, found = positives.boxes[image, :count], positives.labels[image, :count]
        assert torch.equal(boxes[-len(gt) :], gt.gt_boxes.tensor)
        ious, objects = box_iou(boxes, gt.gt_boxes.tensor).max(dim=1)
        labels = torch.where(ious >= 0.5, gt.gt_classes[objects], NUM_CLASSES)
        assert torch.equal(found, labels) and (labels < NUM_CLASSES).any()
        assert torch.equal(positives.gt_boxes[image, :count], gt.gt_boxes.tensor[objects])
        for row, box in enumerate(boxes):
            sides = (box[2:] - box[:2]).prod().sqrt()  # Level 0 up to 112 pixels, 1 up to 224 ...
            level = max(int(torch.floor(torch.log2(sides / 112 + 1e-8))), 0)
            where, scale = [box[None]], 1 / STRIDES[level]
            pooled = roi_align(maps[level][image : image + 1], where, 7, scale, aligned=True)
            feature = pooled.mean(dim=(0, 2, 3))
            torch.testing.assert_close(positives.features[image, row], feature)


@heads
def test_features_of_rows_train_the_maps_and_boxes_do_not(make):
    maps = make_maps()
    _, positives, _ = train(seeded(make), maps=maps)
    assert positives.features.shape[2] == WIDTH
    gradients = torch.autograd.grad(positives.features.square().sum(), maps, allow_unused=True)
    assert all(gradient is not None and gradient.any() for gradient in gradients[:1])
    assert not positives.boxes.requires_grad and not positives.gt_boxes.requires_grad


@heads
@pytest.mark.parametrize("classes", [[[], []], [[], [1]]])
def test_without_objects_all_is_finite_and_connected(make, classes):
    head, maps = seeded(make), make_maps()
    losses, positives, _ = train(head, classes, maps)
    assert (positives.labels[0] >= NUM_CLASSES).logical_or(positives.labels[0] == -1).all()
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for name, weight in head.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


def test_inference_is_that_of_the_detectors():
    atss, rcnn = seeded(make_atss, test_score_thresh=0.0).eval(), seeded(make_rcnn).eval()
    maps = make_maps()
    images, features = make_images(), dict(zip(NAMES, maps, strict=True))
    expected = {
        atss: atss.detector.forward_inference(images, maps, atss.detector.head(maps)),
        rcnn: rcnn.roi_heads(images, features, rcnn.proposal_generator(images, features)[0])[0],
    }
    for head, detections in expected.items():
        for found, other, size in zip(head.inference(images, maps), detections, SIZES, strict=True):
            assert found.image_size == size and len(found) > 0
            assert torch.equal(found.pred_boxes.tensor, other.pred_boxes.tensor)
            assert torch.equal(found.scores, other.scores)


def test_masks_are_refused():
    masks = dict(mask_in_features=["p3"], mask_pooler=None, mask_head=make_mask_head())
    with pytest.raises(ValueError, match="roi_heads has a mask or keypoint head"):
        CollaborativeRCNN(make_rpn(), make_roi_heads(**masks))


@pytest.mark.parametrize("kind", [IterativeROIHeads, CascadeHeads])
def test_heads_of_several_steps_are_refused(kind):
    roi_heads = make_roi_heads()
    roi_heads.__class__ = kind
    with pytest.raises(ValueError, match=f"roi_heads is {kind.__name__}, which predicts boxes in"):
        CollaborativeRCNN(make_rpn(), roi_heads)


@pytest.mark.parametrize("make", [make_atss, make_rcnn])
def test_a_weight_that_is_none_is_named(make):
    with pytest.raises(ValueError, match="loss_weight is -1; give a number >= 0"):
        make(loss_weight=-1)
