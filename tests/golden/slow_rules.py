"""Rules of RetinaNet and FCOS and codes of boxes by plain loops, for the golden files."""

import math

import torch
from modeling.dense.anchor_scenes import slow_center, slow_iou


class SlowDeltas:
    """Shifts in tenths, logs of sizes in fifths, of an anchor."""

    def apply_deltas(self, deltas, anchors):
        (dx, dy, dw, dh), (x1, y1, x2, y2) = deltas[0].tolist(), anchors[0].tolist()
        width, height = x2 - x1, y2 - y1
        x, y = (x1 + x2) / 2 + dx / 10 * width, (y1 + y2) / 2 + dy / 10 * height
        w, h = width * math.exp(dw / 5), height * math.exp(dh / 5)
        return torch.tensor([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], dtype=torch.float64)


class SlowDistances:
    """Distances, at least 0, from an anchor's center to the sides of a box, in its sides."""

    def apply_deltas(self, deltas, anchors):
        corners = anchors[0].tolist()
        x, y = slow_center(corners)
        side = corners[2] - corners[0]
        left, top, right, bottom = (max(d, 0.0) * side for d in deltas[0].tolist())
        return torch.tensor([[x - left, y - top, x + right, y + bottom]], dtype=torch.float64)


def slow_ious(anchors, boxes, gives_best, low=0.4, high=0.5):
    """Object of each anchor in RetinaNet: -1 none, -2 ignored.

    An anchor belongs to the object that it overlaps most, from an IoU of 0.5 on, or at any if it is
    the best of some object; between 0.4 and 0.5 it is ignored. If ``gives_best``, the best anchors
    of an object are its own; of several objects the last one gets them.
    """
    ious = [[slow_iou(anchor, box) for anchor in anchors] for box in boxes]
    matches = []
    for index in range(len(anchors)):
        column = [row[index] for row in ious]
        best = max(column)
        owners = [i for i, row in enumerate(ious) if row[index] == max(row)]
        if owners and gives_best:
            matches.append(owners[-1])
        elif best >= high or owners:
            matches.append(column.index(best))
        else:
            matches.append(-2 if best >= low else -1)
    return matches


def slow_centers(levels, strides, boxes, radius=1.5):
    """The smallest object of each point that is near its middle and of the level's size."""
    matches = []
    for level, (anchors, stride) in enumerate(zip(levels, strides, strict=True)):
        nearest = 0 if level == 0 else 4 * stride
        farthest = math.inf if level == len(strides) - 1 else 8 * stride
        for anchor in anchors:
            x, y = slow_center(anchor)
            found = []
            for number, box in enumerate(boxes):
                sides = [x - box[0], y - box[1], box[2] - x, box[3] - y]
                middle = slow_center(box)
                offset = max(abs(x - middle[0]), abs(y - middle[1]))
                if (
                    min(sides) > 0
                    and offset < radius * stride
                    and nearest <= max(sides) <= farthest
                ):
                    found.append(((box[2] - box[0]) * (box[3] - box[1]), number))
            matches.append(min(found)[1] if found else -1)
    return matches
