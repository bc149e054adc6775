"""A cascade with softmax, smooth L1 and cross-entropy of masks, one proposal at a time.

The rule is that of mmdetection. ``heads`` is a CascadeHeads, of which only the layers, the pooling
and the numbers are used.
"""

from typing import NamedTuple

import torch
from detectron2.structures import Boxes
from torch import Tensor


class Row(NamedTuple):
    """A proposal of an image; the object that it belongs to, if it does."""

    image: int
    box: Tensor
    is_added: bool
    gt: int | None


def iou(a, b):
    overlap = (torch.min(a[2:], b[2:]) - torch.max(a[:2], b[:2])).clamp(min=0).prod()
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return (overlap / (sum(areas) - overlap)).item() if overlap > 0 else 0.0


def label(boxes, gt_boxes, threshold, image=0):
    """Rows of the proposals of an image, then of its objects."""
    candidates = [(box, False) for box in boxes] + [(box, True) for box in gt_boxes]
    rows = []
    for box, is_added in candidates:
        overlaps = [iou(box, gt_box) for gt_box in gt_boxes]
        best = max(range(len(overlaps)), key=overlaps.__getitem__) if overlaps else None
        is_object = best is not None and overlaps[best] >= threshold
        rows.append(Row(image, box, is_added, best if is_object else None))
    return rows


def encode(box, gt_box, weights):
    """Deltas from a proposal to its object."""
    size, gt_size = box[2:] - box[:2], gt_box[2:] - gt_box[:2]
    shift = ((gt_box[2:] + gt_box[:2]) - (box[2:] + box[:2])) / 2 / size
    return torch.cat([shift, (gt_size / size).log()]) * torch.tensor(weights)


def decode(box, deltas, weights, height, width):
    """The box that deltas move a proposal to, inside the image."""
    dx, dy, dw, dh = deltas / torch.tensor(weights)
    w, h = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2 + dx * w, (box[1] + box[3]) / 2 + dy * h
    half_w, half_h = w * dw.exp() / 2, h * dh.exp() / 2
    corners = [(x - half_w, width), (y - half_h, height), (x + half_w, width), (y + half_h, height)]
    return torch.stack([value.clamp(0, limit) for value, limit in corners])


def pool(pooler, features, image, box):
    """Pooled features of one box ``(1, channels, height, width)``."""
    return pooler([level[image : image + 1] for level in features.values()], [Boxes(box[None])])


def predict(heads, stage, features, image, box):
    """Logits and deltas of one box."""
    pooled = pool(heads.box_pooler, features, image, box)
    logits, deltas = heads.box_predictor[stage](heads.box_head[stage](pooled))
    return logits[0], deltas[0]


def mask_logits(heads, stage, features, image, box):
    """``(C, side, side)`` of one box."""
    return heads.mask_head[stage].layers(pool(heads.mask_pooler, features, image, box))[0]


def cross_entropy(logits, gt_class):
    return -(logits[gt_class].exp() / logits.exp().sum()).log()


def smooth_l1(deltas, gt_deltas, beta):
    total = 0
    for error in (deltas - gt_deltas).abs():
        total = total + (error**2 / 2 / beta if error < beta else error - beta / 2)
    return total


def mask_loss(logits, mask):
    """Mean binary cross-entropy over the cells of one mask."""
    total = 0
    for logit, is_object in zip(logits.flatten(), mask.flatten(), strict=True):
        prob = 1 / (1 + (-logit).exp())
        total = total - (prob if is_object else 1 - prob).log()
    return total / logits.numel()


def losses_of_row(heads, stage, features, row, target):
    """Losses of class, box and mask (None without an object), and the refined box."""
    predictor = heads.box_predictor[stage]
    logits, deltas = predict(heads, stage, features, row.image, row.box)
    weights = predictor.box2box_transform.weights
    refined = decode(row.box, deltas, weights, *target.image_size).detach()
    if row.gt is None:
        return cross_entropy(logits, heads.num_classes), None, None, refined
    gt_class = int(target.gt_classes[row.gt])
    gt_deltas = encode(row.box, target.gt_boxes.tensor[row.gt], weights)
    of_mask = mask_logits(heads, stage, features, row.image, row.box)[gt_class]
    mask = target.gt_masks[row.gt].crop_and_resize(row.box[None], of_mask.shape[0])[0]
    box_loss = smooth_l1(deltas, gt_deltas, predictor.box_loss.beta)
    return cross_entropy(logits, gt_class), box_loss, mask_loss(of_mask, mask), refined


def slow_losses(heads, features, proposals, targets):
    """Losses of all stages on all proposals, by the names of ``heads``, and rows of all stages."""
    boxes = [list(image.proposal_boxes.tensor) for image in proposals]
    losses, rows_of_stages = {}, []
    for stage, matcher in enumerate(heads.proposal_matchers):
        rows, refined = [], [[] for _ in boxes]
        for image, (of_image, target) in enumerate(zip(boxes, targets, strict=True)):
            rows += label(of_image, target.gt_boxes.tensor, matcher.thresholds[1], image)
        values = []
        for row in rows:
            *of_row, box = losses_of_row(heads, stage, features, row, targets[row.image])
            values.append(of_row)
            if not row.is_added:
                refined[row.image].append(box)
        classes, box_losses, masks = zip(*values, strict=True)
        masks = [value for value in masks if value is not None]
        weight = heads.box_predictor[stage].loss_weight
        losses[f"loss_cls_stage{stage}"] = weight * sum(classes) / len(rows)
        box_loss = sum(value for value in box_losses if value is not None)
        losses[f"loss_box_reg_stage{stage}"] = weight * box_loss / len(rows)
        of_masks = heads.mask_head[stage].loss_weight * sum(masks) / max(len(masks), 1)
        losses[f"loss_mask_stage{stage}"] = of_masks
        boxes = refined
        rows_of_stages.append(rows)
    return losses, rows_of_stages


def slow_scores(heads, features, image, box, size):
    """Softmax of the mean of the stages' logits ``(C + 1,)``, and the last box."""
    stages = []
    for stage, predictor in enumerate(heads.box_predictor):
        logits, deltas = predict(heads, stage, features, image, box)
        box = decode(box, deltas, predictor.box2box_transform.weights, *size)
        stages.append(logits)
    mean = sum(stages) / len(stages)
    return mean.exp() / mean.exp().sum(), box


def slow_detections(heads, features, image, proposals):
    """(score, class, box, mask) of an image, the best first."""
    last = heads.box_predictor[-1]
    candidates = []
    for proposal in proposals.proposal_boxes.tensor:
        scores, box = slow_scores(heads, features, image, proposal, proposals.image_size)
        for gt_class, score in enumerate(scores[:-1].tolist()):
            if score > last.test_score_thresh:
                candidates.append((score, gt_class, box))
    kept = []
    for candidate in sorted(candidates, key=lambda x: -x[0]):
        same = [other for other in kept if other[1] == candidate[1]]
        if all(iou(other[2], candidate[2]) <= last.test_nms_thresh for other in same):
            kept.append(candidate)
    with_masks = []
    for score, gt_class, box in kept[: last.test_topk_per_image]:
        masks = [
            1 / (1 + (-mask_logits(heads, stage, features, image, box)[gt_class]).exp())
            for stage in range(len(heads.mask_head))
        ]
        with_masks.append((score, gt_class, box, sum(masks) / len(masks)))
    return with_masks
