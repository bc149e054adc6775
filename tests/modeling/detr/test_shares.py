import pytest
import torch
from modeling.detr.objects import random_batch, random_shares
from modeling.detr.slow_matching import giou, iou

from rankdet.modeling.detr.shares import clipped_pixels, gt_shares, ious_and_gious


def generator():
    return torch.Generator().manual_seed(0)


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def test_shares_are_of_each_image():
    gt = random_batch([2, 0, 3], generator())
    expected = []
    for image in gt:
        height, width = image.image_size
        for x1, y1, x2, y2 in image.gt_boxes.tensor.tolist():
            center = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
            expected.append([*center, (x2 - x1) / width, (y2 - y1) / height])
    torch.testing.assert_close(gt_shares(gt), torch.tensor(expected))


def test_shares_of_no_object():
    assert gt_shares(random_batch([0, 0], generator())).shape == (0, 4)


def test_pixels_end_at_the_border():
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.25], [0.1, 0.9, 0.4, 0.6]])
    expected = torch.tensor([[10.0, 30.0, 30.0, 50.0], [0.0, 48.0, 12.0, 80.0]])
    torch.testing.assert_close(clipped_pixels(boxes, (80, 40)).tensor, expected)


def test_overlaps_of_every_kind_of_pair():
    boxes = random_shares(30, generator()).view(2, 15, 4)
    boxes[0, 0] = boxes[1, 0]  # the same box
    boxes[0, 1] = torch.tensor([0.1, 0.1, 0.1, 0.1])  # far apart
    boxes[1, 1] = torch.tensor([0.8, 0.8, 0.1, 0.1])
    boxes[0, 2] = torch.tensor([0.5, 0.5, 0.0, 0.0])  # of no size
    ious, gious = ious_and_gious(*boxes)
    for n, (one, other) in enumerate(zip(*boxes.tolist(), strict=True)):
        pair = corners(one), corners(other)
        assert ious[n].item() == pytest.approx(iou(*pair), rel=1e-10, abs=1e-15)
        assert gious[n].item() == pytest.approx(giou(*pair), rel=1e-10)
    assert ious[0] == gious[0] == 1 and ious[1] == ious[2] == 0 and gious[1] < -0.9


def test_pairs_are_broadcast():
    boxes, others = random_shares(4, generator()), random_shares(3, generator())
    matrices = ious_and_gious(boxes.unsqueeze(1), others)
    for n in range(3):
        columns = ious_and_gious(boxes, others[n])
        assert all(torch.equal(x[:, n], y) for x, y in zip(matrices, columns, strict=True))


def test_tiny_boxes_overlap_as_their_pixels_do():
    box = torch.tensor([0.5, 0.5, 1e-4, 2e-4], dtype=torch.float64)
    sides = torch.tensor([1333.0, 800.0, 1333.0, 800.0], dtype=torch.float64)
    small, large = (
        ious_and_gious(box, box * 1.0001),
        ious_and_gious(box * sides, box * 1.0001 * sides),
    )
    for one, other in zip(small, large, strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-9)
