"""The losses of the ranking heads, one proposal or anchor at a time."""

import torch
from detectron2.structures import Boxes, pairwise_iou
from losses.ranking_modules import Batch, expected_losses


def giou_loss(a, b):
    """1 - IoU + the share of the smallest enclosing box that is in neither box."""
    overlap = (torch.min(a[2:], b[2:]) - torch.max(a[:2], b[:2])).clamp(min=0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap
    enclosing = (torch.max(a[2:], b[2:]) - torch.min(a[:2], b[:2])).prod()
    return 1 - overlap / union + (enclosing - union) / enclosing


def make_batch(rows, box2box_transform, num_classes):
    """Turn rows (logits, label, 4 deltas, box, ground-truth box) into a loss's arguments."""
    ious, box_losses = [], []
    for _, label, deltas, box, gt_box in rows:
        if 0 <= label < num_classes:
            decoded = box2box_transform.apply_deltas(deltas[None], box[None])[0]
            ious.append(pairwise_iou(Boxes(decoded.detach()[None]), Boxes(gt_box[None]))[0, 0])
            box_losses.append(giou_loss(decoded, gt_box))
    return Batch(
        logits=torch.stack([row[0] for row in rows]),
        labels=torch.tensor([row[1] for row in rows]),
        ious=torch.stack(ious) if ious else torch.zeros(0),
        box_losses=torch.stack(box_losses) if box_losses else torch.zeros(0),
    )


def predictor_rows(predictor, predictions, proposals):
    """All proposals of all images; the deltas of the class of each."""
    logits, deltas = predictions
    index, rows = 0, []
    for image in proposals:
        for n in range(len(image)):
            label = int(image.gt_classes[n])
            is_foreground = 0 <= label < predictor.num_classes
            start = 4 * label if deltas.shape[1] > 4 and is_foreground else 0
            box = image.proposal_boxes.tensor[n]
            gt_box = image.gt_boxes.tensor[n] if image.has("gt_boxes") else box
            rows.append((logits[index], label, deltas[index, start : start + 4], box, gt_box))
            index += 1
    return rows


def slow_losses(loss, rows, box2box_transform):
    """Values by name, and a scalar whose gradient is that of their sum."""
    batch = make_batch(rows, box2box_transform, loss.num_classes)
    expected = expected_losses(loss, batch)
    surrogate = (batch.logits * expected.logits).sum()
    return expected.values, surrogate + (batch.box_losses * expected.box_losses).sum()
