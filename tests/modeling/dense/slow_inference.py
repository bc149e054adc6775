"""Detections of one image, one pair of an anchor and a class at a time."""

import math

from modeling.dense.anchor_scenes import slow_iou


def slow_sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def slow_decode(transform, deltas, anchor):
    """Box of one anchor; the transform alone is not written once more."""
    return transform.apply_deltas(deltas[None], anchor[None])[0].tolist()


def slow_level(anchors, logits, deltas, quality, transform, by_location, threshold, number):
    """Candidates of a level: (score that ranks, class, box), before clipping."""
    rows = []
    for index, row in enumerate(logits.tolist()):
        classes = [slow_sigmoid(logit) for logit in row]
        factor = 1.0 if quality is None else slow_sigmoid(quality[index].item())
        ranks = [math.sqrt(p * factor) if quality is not None else p for p in classes]
        rows.append((index, classes, ranks))
    if by_location:
        rows = sorted(rows, key=lambda row: -max(row[2]))[:number]
        chosen = [(i, c) for i, _, ranks in rows for c, p in enumerate(ranks) if p > threshold]
    else:
        pairs = [(p, i, c) for i, ps, _ in rows for c, p in enumerate(ps) if p > threshold]
        chosen = [(i, c) for _, i, c in sorted(pairs, reverse=True)[:number]]
    ranks_of = {index: ranks for index, _, ranks in rows}
    return [(ranks_of[i][c], c, slow_decode(transform, deltas[i], anchors[i])) for i, c in chosen]


def slow_clip(box, height, width):
    """A box inside the image, or None if nothing of it is."""
    x1, x2 = (min(max(x, 0.0), width) for x in box[::2])
    y1, y2 = (min(max(y, 0.0), height) for y in box[1::2])
    return [x1, y1, x2, y2] if x2 > x1 and y2 > y1 else None


def slow_nms(candidates, threshold, number):
    """The best first; one of the same class that overlaps a kept one is dropped."""
    kept = []
    for score, label, box in sorted(candidates, reverse=True):
        if all(label != other or slow_iou(box, b) <= threshold for _, other, b in kept):
            kept.append((score, label, box))
    return kept[:number]


def slow_vote(kept, candidates, sigma):
    """Each kept box becomes the mean of the candidates of its class that overlap it."""
    voted = []
    for score, label, box in kept:
        total, mean = 0.0, [0.0] * 4
        for weight, other, voter in candidates:
            iou = slow_iou(box, voter)
            if other == label and iou > 0.01:
                vote = weight * math.exp(-((1 - iou) ** 2) / sigma)
                total += vote
                mean = [m + vote * x for m, x in zip(mean, voter, strict=True)]
        voted.append((score, label, [m / total for m in mean]))
    return voted


def slow_detections(levels, size, transform, *, by_location, thresholds, numbers, sigma=None):
    """Score, class and box of each detection of one image.

    Args:
        levels: anchors, logits, deltas and quality logits (or None) of each level.
        size: height and width, pixels.
        transform: code of the boxes.
        by_location: whether candidates are locations.
        thresholds: of scores and of non-maximum suppression.
        numbers: of candidates per level and of detections.
        sigma: of score voting, if there is any.
    """
    candidates = []
    for level in levels:
        for score, label, box in slow_level(
            *level, transform, by_location, thresholds[0], numbers[0]
        ):
            inside = slow_clip(box, *size)
            if inside is not None:
                candidates.append((score, label, inside))
    kept = slow_nms(candidates, thresholds[1], numbers[1])
    return kept if sigma is None else slow_vote(kept, candidates, sigma)
