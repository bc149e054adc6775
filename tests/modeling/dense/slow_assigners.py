"""ATSS and PAA, one anchor and one object at a time."""

import math
import statistics

from detectron2.structures import Boxes
from modeling.dense.anchor_scenes import slow_center, slow_iou


def slow_candidates(levels, box, num_candidates):
    candidates, start = [], 0
    x, y = slow_center(box)
    for level in levels:
        distances = []
        for index, anchor in enumerate(level):
            anchor_x, anchor_y = slow_center(anchor)
            distances.append(((anchor_x - x) ** 2 + (anchor_y - y) ** 2, start + index))
        candidates += [index for _, index in sorted(distances)[:num_candidates]]
        start += len(level)
    return candidates


def slow_atss(anchors, gt_boxes, num_candidates=9):
    """Object of each anchor, -1 if it has none: algorithm 1 of the paper."""
    levels = [level.tensor.tolist() for level in anchors]
    flat = [anchor for level in levels for anchor in level]
    matches, best = [-1] * len(flat), [0.0] * len(flat)
    for number, box in enumerate(gt_boxes.tensor.tolist()):
        candidates = slow_candidates(levels, box, num_candidates)
        ious = [slow_iou(flat[index], box) for index in candidates]
        threshold = statistics.mean(ious) + (statistics.stdev(ious) if len(ious) > 1 else 0)
        for index, iou in zip(candidates, ious, strict=True):
            x, y = slow_center(flat[index])
            is_inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
            if is_inside and iou >= threshold and iou > best[index]:
                matches[index], best[index] = number, iou
    return matches


def slow_focal(logits, label):
    total = 0.0
    for index, logit in enumerate(logits):
        p = 1 / (1 + math.exp(-logit))
        q, alpha = (p, 0.25) if index == label else (1 - p, 0.75)
        total -= alpha * (1 - q) ** 2 * math.log(q)
    return total


def slow_giou_loss(anchor, deltas, box):
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = (anchor[0] + anchor[2]) / 2 + deltas[0] / 10 * width
    y = (anchor[1] + anchor[3]) / 2 + deltas[1] / 10 * height
    half_width = width * math.exp(deltas[2] / 5) / 2
    half_height = height * math.exp(deltas[3] / 5) / 2
    a = (x - half_width, y - half_height, x + half_width, y + half_height)
    hull = (max(a[2], box[2]) - min(a[0], box[0])) * (max(a[3], box[3]) - min(a[1], box[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (box[2] - box[0]) * (box[3] - box[1])
    iou = slow_iou(a, box)
    union = areas / (1 + iou)
    return 1 - iou + (hull - union) / hull


def slow_match(anchors, boxes, threshold=0.1):
    """The object that each anchor may have: the release's loops."""
    ious = [[slow_iou(anchor, box) for anchor in anchors] for box in boxes]
    matches = []
    for index in range(len(anchors)):
        column = [row[index] for row in ious]
        best = max(column, default=0.0)
        matches.append(column.index(best) if best >= threshold else -1)
    for number, row in enumerate(ious):
        for index, iou in enumerate(row):
            if iou == max(row) > 0:
                matches[index] = number
    return matches


def slow_paa(anchors, gt, logits, deltas, num_candidates, iou_threshold, slow_division):
    """Object of each anchor of one image, -1 if it has none."""
    boxes = gt.gt_boxes.tensor.tolist()
    flat = Boxes.cat(anchors).tensor.tolist()
    levels = [n for n, level in enumerate(anchors) for _ in range(len(level))]
    possible, matches = slow_match(flat, boxes, iou_threshold), [-1] * len(flat)
    for number, box in enumerate(boxes):
        candidates = []
        for level in range(len(anchors)):
            losses = []
            for index, anchor in enumerate(flat):
                if possible[index] == number and levels[index] == level:
                    focal = slow_focal(logits[index].tolist(), gt.gt_classes[number])
                    giou = slow_giou_loss(anchor, deltas[index].tolist(), box)
                    losses.append((focal + giou, index))
            candidates += sorted(losses)[:num_candidates]
        for place in slow_division([loss for loss, _ in candidates]):
            matches[candidates[place][1]] = number
    return matches
