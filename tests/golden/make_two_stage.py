"""Writes the golden two-stage detectors: what loops make of the cases, from the rules.

    PYTHONPATH=.:tests python tests/golden/make_two_stage.py

The files are the memory of what the detectors compute. Write them again only after a change that
is meant to move a detector, and say so in the changelog.
"""

import math
from pathlib import Path

import numpy as np
import torch
from golden import two_stage_cases as cases
from losses.ranking_modules import Batch, expected_losses
from modeling import slow_cascade as slow
from modeling.slow_steps import slow_steps

FOLDER = Path(__file__).parent
C, BOXES = cases.NUM_CLASSES, torch.tensor(cases.GT_BOXES)
ALL_BOXES = torch.tensor([*cases.PROPOSALS, *cases.GT_BOXES])


def anchors():
    """Boxes of the tiny RPN: two squares in the middle of each cell, row by row."""
    cells = range(cases.SIZE // cases.STRIDE)
    middles = [cases.STRIDE * (cell + 0.5) for cell in cells]
    return [
        torch.tensor([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
        for y in middles
        for x in middles
        for side in (12, 24)
    ]


def rpn_labels():
    """1 object, 0 background, -1 ignored: from 0.7 and 0.3 on; an object's best from 0.3 on."""
    overlaps = [[slow.iou(anchor, box) for box in BOXES] for anchor in anchors()]
    labels = [1 if max(row) >= 0.7 else 0 if max(row) < 0.3 else -1 for row in overlaps]
    objects = [max(range(len(row)), key=row.__getitem__) for row in overlaps]
    for number in range(len(BOXES)):
        best = max(row[number] for row in overlaps)
        for anchor, row in enumerate(overlaps):
            if best >= 0.3 and row[number] == best:
                labels[anchor], objects[anchor] = 1, number
    positive = [x for x, label in zip(objects, labels, strict=True) if label == 1]
    return {"labels": labels, "objects": positive}


def rows():
    """Labeled proposals of the case, those of the objects at the end."""
    return slow.label(list(torch.tensor(cases.PROPOSALS)), BOXES, 0.5)


def labels_of(of_rows):
    return [C if row.gt is None else cases.GT_CLASSES[row.gt] for row in of_rows]


def roi_labels():
    """Classes of the proposals, and deltas to their objects."""
    foreground = [row for row in rows() if row.gt is not None]
    deltas = [slow.encode(row.box, BOXES[row.gt], (10, 10, 5, 5)) for row in foreground]
    return {"labels": labels_of(rows()), "deltas": torch.stack(deltas)}


def linear(layer, x):
    return torch.stack([(layer.weight * row).sum(dim=1) + layer.bias for row in x])


def softmax_loss(logits, labels):
    return {"loss_cls": sum(map(slow.cross_entropy, logits, labels)) / len(labels)}


def softmax_scores(logits):
    return torch.stack([row.exp() / row.exp().sum() for row in logits])


def ecm_loss(logits, labels):
    """ECM eqs. 8, 10, 11 with counts 900, 30, 1 and 6.3313 background per object."""
    num_pos = [900, 30, 1, 6.3313 * 931]
    total = 0.0
    for c, pos in enumerate(num_pos):
        neg = sum(num_pos) - pos
        gamma_pos = neg**0.25 / (pos**0.25 + neg**0.25)
        m_c = neg / pos * math.log((1 + neg / pos) / (neg / pos))
        for x, label in zip(logits[:, c], labels, strict=True):
            above, below = x.exp() / gamma_pos, (-x).exp() / (1 - gamma_pos)
            total -= m_c * ((above if label == c else below) / (above + below)).log()
    return {"loss_cls": total / len(labels)}


def ecm_scores(logits):
    probs = 1 / (1 + (-logits).exp())
    return torch.cat([probs[:, :C] * (1 - probs[:, C:]), probs[:, C:]], dim=1)


def deltas_of_class(deltas, row):
    """The four of the row's object, or of all classes."""
    first = 4 * cases.GT_CLASSES[row.gt] if len(deltas) > 4 else 0
    return deltas[first : first + 4]


def box_losses(deltas, of_rows, weights, beta):
    """Loss of each foreground row, smooth L1 or (beta None) generalized IoU."""
    losses = []
    for of_row, row in zip(deltas, of_rows, strict=True):
        if row.gt is not None:
            own, box = deltas_of_class(of_row, row), BOXES[row.gt]
            gt_deltas = slow.encode(row.box, box, weights)
            losses.append(slow.smooth_l1(own, gt_deltas, beta))
    return losses


def predictor_outputs(name):
    predictor, of_rows = cases.box_predictor(name), rows()
    x = cases.numbers(len(of_rows), 16, scale=2.0, seed=3)
    logits, deltas = linear(predictor.cls_score, x), linear(predictor.bbox_pred, x)
    weights = (10, 10, 5, 5)
    of_boxes = box_losses(deltas, of_rows, weights, beta=0.3)
    boxes = [
        unclipped(row.box, part)
        for row, of_row in zip(of_rows, deltas, strict=True)
        for part in of_row.split(4)
    ]
    losses, scores = losses_and_scores(name, logits, deltas, of_boxes)
    return {**losses, "scores": scores[:, :C], "boxes": torch.stack(boxes)}


def losses_and_scores(name, logits, deltas, of_boxes):
    labels = labels_of(rows())
    if name == "rank_sort":
        ious = [
            slow.iou(unclipped(row.box, deltas_of_class(of_row, row)), BOXES[row.gt])
            for of_row, row in zip(deltas, rows(), strict=True)
            if row.gt is not None
        ]
        batch = Batch(logits, torch.tensor(labels), torch.tensor(ious), torch.stack(of_boxes))
        loss = cases.LOSSES[name]()
        return expected_losses(loss, batch).values, 1 / (1 + (-logits).exp())
    classify, activate = {"softmax": (softmax_loss, softmax_scores), "ecm": (ecm_loss, ecm_scores)}[
        name
    ]
    box_loss = sum(of_boxes) / len(labels)
    return {**classify(logits, labels), "loss_box_reg": box_loss}, activate(logits)


def unclipped(box, deltas):
    """The box that deltas move a proposal to, also outside the image."""
    size, center = box[2:] - box[:2], (box[2:] + box[:2]) / 2
    center = center + deltas[:2] / 10 * size
    half = size * (deltas[2:] / 5).exp() / 2
    return torch.cat([center - half, center + half])


def mask_losses():
    """Cross-entropy, and Dice with score weights 1, 2, 3 ..., of the foreground rows."""
    foreground = [row for row in rows() if row.gt is not None]
    x = cases.numbers(len(foreground), cases.CHANNELS, 4, 4, scale=4.0, seed=5)
    values, target = {}, cases.target()
    for kind in ("cross_entropy", "dice"):
        losses = []
        for row, logits in zip(foreground, cases.mask_head(kind).layers(x), strict=True):
            own = logits[cases.GT_CLASSES[row.gt]]
            mask = target.gt_masks[row.gt].crop_and_resize(row.box[None], len(own))[0]
            losses.append(slow.mask_loss(own, mask) if kind == "cross_entropy" else dice(own, mask))
        weights = range(1, len(losses) + 1) if kind == "dice" else [1] * len(losses)
        total = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        values[kind] = total / sum(weights)
    return values


def dice(logits, mask):
    probs = 1 / (1 + (-logits).exp())
    overlap = (probs * mask).sum()
    return 1 - 2 * overlap / ((probs**2).sum() + mask.sum() + 1e-5)


def cascade():
    heads = cases.cascade().eval()
    losses, _ = slow.slow_losses(heads, cases.features(), [cases.proposals()], [cases.target()])
    found = slow.slow_detections(heads, cases.features(), 0, cases.proposals())
    scores, classes, boxes, masks = map(list, zip(*found, strict=True))
    stacked = {"boxes": torch.stack(boxes), "masks": torch.stack(masks)}
    return {**losses, "scores": scores, "classes": classes, **stacked}


def recurrent():
    """Losses of all steps, weighted .2, .2, .6, with the boxes of the last; and its scores."""
    heads, of_rows = cases.recurrent(), rows()
    pooled = [slow.pool(heads.box_pooler, cases.features(), 0, box)[0] for box in ALL_BOXES]
    steps = slow_steps(heads, torch.stack(pooled))
    losses = {
        f"loss_cls{suffix}": weight * softmax_loss(logits, labels_of(of_rows))["loss_cls"]
        for weight, suffix, (logits, _) in zip(
            (0.2, 0.2, 0.6), ("_step0", "_step1", ""), steps, strict=True
        )
    }
    last = box_losses(steps[-1][1], of_rows, (10, 10, 5, 5), beta=1e-9)
    losses["loss_box_reg"] = sum(last) / len(of_rows)
    return {**losses, "scores": softmax_scores(steps[-1][0])[:, :C]}


MAKERS = {
    "rpn_labels": rpn_labels,
    "roi_labels": roi_labels,
    **{f"box_predictor_{name}": lambda name=name: predictor_outputs(name) for name in cases.LOSSES},
    "mask_losses": mask_losses,
    "cascade": cascade,
    "recurrent": recurrent,
}


def make(name):
    """Arrays of a golden detector: float32, and int8 for labels."""
    arrays = {}
    with torch.no_grad():
        for key, value in MAKERS[name]().items():
            array = torch.as_tensor(value).numpy()
            arrays[key] = array.astype(np.float32 if array.dtype.kind == "f" else np.int8)
    return arrays


if __name__ == "__main__":
    for name in MAKERS:
        np.savez_compressed(FOLDER / f"{name}.npz", **make(name))
