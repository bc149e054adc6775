"""Small images full of anchors and objects, and box arithmetic by plain floats."""

import torch
from detectron2.structures import Boxes, Instances
from hypothesis import settings
from hypothesis import strategies as st

NUM_CLASSES = 5
SIZE = 64

quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def make_anchors(strides=(8, 16, 32), size=SIZE):
    """By level, one square of four strides around the middle of each cell."""
    return [Boxes(_grid(stride, size, 2 * stride)) for stride in strides]


def _grid(stride, size, half):
    steps = torch.arange(stride / 2, size, stride)
    centers = torch.cartesian_prod(steps, steps).flip(1)
    return torch.cat([centers - half, centers + half], dim=1)


def make_objects(num, seed=0, *, largest=48):
    """Instances with random boxes at whole pixels, so that ties occur."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, SIZE - 8, (num, 2), generator=generator)
    sizes = torch.randint(4, largest, (num, 2), generator=generator)
    boxes = torch.cat([corners, corners + sizes], dim=1).float()
    classes = torch.randint(0, NUM_CLASSES, (num,), generator=generator)
    return Instances((SIZE, SIZE), gt_boxes=Boxes(boxes), gt_classes=classes)


def make_predictions(num_images, anchors, seed=0, num_classes=NUM_CLASSES):
    """Logits and deltas of all anchors."""
    generator = torch.Generator().manual_seed(seed)
    shape = num_images, sum(len(level) for level in anchors)
    logits = torch.randn(*shape, num_classes, generator=generator)
    return logits, 0.3 * torch.randn(*shape, 4, generator=generator)


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return overlap / (areas - overlap)


def slow_center(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def assert_targets_equal(targets, expected, gt_instances):
    """``expected``: per image the object of each anchor, -1 if it has none."""
    for labels, boxes, matches, gt in zip(*targets, expected, gt_instances, strict=True):
        has_object = torch.tensor([match >= 0 for match in matches])
        objects = torch.tensor([match for match in matches if match >= 0], dtype=torch.int64)
        assert torch.equal(labels[has_object], gt.gt_classes[objects])
        assert (labels[~has_object] == NUM_CLASSES).all()
        assert torch.equal(boxes[has_object], gt.gt_boxes.tensor[objects])
