"""Slow and obvious: what a match costs, and the cheapest matching among all."""

import math
from itertools import permutations


def match_cost(probs, box, gt_class, gt_box, image_size, weights=(2.0, 5.0, 2.0)):
    """Cost of one query and one object: Deformable DETR's matcher, one number at a time.

    ``box`` is in shares, ``gt_box`` corners in pixels; GIoU is of pixels.
    """
    p, eps = probs[gt_class], 1e-12
    focal = 0.25 * (1 - p) ** 2 * -math.log(p + eps) - 0.75 * p**2 * -math.log(1 - p + eps)
    height, width = image_size
    x1, y1, x2, y2 = gt_box
    gt_shares = [
        (x1 + x2) / 2 / width,
        (y1 + y2) / 2 / height,
        (x2 - x1) / width,
        (y2 - y1) / height,
    ]
    l1 = sum(abs(a - b) for a, b in zip(box, gt_shares, strict=True))
    x, y, w, h = box
    corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
    return weights[0] * focal + weights[1] * l1 - weights[2] * giou(corners, gt_box)


def giou(a, b):
    """Rezatofighi et al. 2019, of corners."""
    overlap = iou(a, b)
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    union = (area(a) + area(b)) / (1 + overlap)
    return overlap - (hull - union) / hull


def iou(a, b):
    """Intersection over union of corners."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (area(a) + area(b) - shared)


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def smallest_sum(costs):
    """Least total of one-to-one matchings of all rows or all columns, by trying all.

    ``costs`` is a list of rows.
    """
    rows, columns = len(costs), len(costs[0]) if costs else 0
    if rows < columns:
        costs, rows, columns = list(zip(*costs, strict=True)), columns, rows
    return min(
        sum(costs[r][c] for c, r in enumerate(p)) for p in permutations(range(rows), columns)
    )
