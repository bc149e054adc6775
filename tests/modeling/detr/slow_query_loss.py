"""Slow and obvious: the losses of queries, one layer, query and number at a time.

Source: bucketed_ranking eqs. 16 and 17, with the definitions of the losses in ``tests/losses``.
"""

from typing import NamedTuple

import torch
from losses import dense_reference, ranking_modules
from losses.ranking_modules import Batch
from modeling.detr.slow_matching import giou, iou
from torch import Tensor

from rankdet.losses import FocalLoss, RankSortLoss


class Expected(NamedTuple):
    """Values by name, and gradients of their sum."""

    values: dict[str, float]
    logits: Tensor
    boxes: Tensor


def expected_query_losses(query_loss, predictions, targets) -> Expected:
    """Sums over layers; each layer is alone with its ranking, its positives and its balance."""
    layers = [_layer(query_loss, *x) for x in zip(*predictions, *targets, strict=True)]
    return Expected(
        {name: sum(layer.values[name] for layer in layers) for name in layers[0].values},
        torch.stack([layer.logits for layer in layers]),
        torch.stack([layer.boxes for layer in layers]),
    )


def _layer(query_loss, logits, boxes, labels, gt_boxes) -> Expected:
    """One layer: ``(B, Q, K)``, ``(B, Q, 4)``, ``(B, Q)`` and ``(B, Q, 4)``."""
    flat = [x.detach().flatten(0, 1).clone() for x in (logits, boxes, labels, gt_boxes)]
    logits, boxes, labels, gt_boxes = flat
    boxes.requires_grad_()
    loss = query_loss.loss
    rows = [n for n, label in enumerate(labels.tolist()) if 0 <= label < loss.num_classes]
    pairs = [(_corners(boxes[n]), _corners(gt_boxes[n])) for n in rows]
    ious = torch.tensor([iou(*pair).item() for pair in pairs], dtype=boxes.dtype)
    zero = boxes.sum() * 0
    gious = torch.stack([1 - giou(*pair) for pair in pairs]) if rows else boxes[:0, 0]
    l1 = sum([abs(boxes[n][k] - gt_boxes[n][k]) for n in rows for k in range(4)], zero)
    l1 = l1 / max(len(rows), 1)
    detached = gious.detach().requires_grad_()
    classes = _of_loss(loss, Batch(logits.requires_grad_(), labels, ious, detached))
    if isinstance(loss, RankSortLoss) and rows:  # Eq. 17: lambda_bbox = L / L_bbox
        total = classes.values["loss_rank"] + classes.values["loss_sort"]
        l1 = l1 * (total / l1.detach())
    terms = query_loss.l1_weight * l1
    terms = terms + query_loss.giou_weight * (classes.box_losses * gious).sum()
    (gradient,) = torch.autograd.grad(terms, boxes)
    weights = {"loss_box_reg": query_loss.giou_weight}
    values = {
        name: value * weights.get(name, query_loss.class_weight)
        for name, value in classes.values.items()
    }
    values["loss_l1"] = query_loss.l1_weight * l1.item()
    return Expected(
        values,
        (query_loss.class_weight * classes.logits).view_as(logits),
        gradient,
    )


def _of_loss(loss, batch):
    """Values, and gradients by logits and by the GIoU losses."""
    if not isinstance(loss, FocalLoss):
        return ranking_modules.expected_losses(loss, batch)
    losses = dense_reference.expected_losses(loss, batch)
    (by_logits,) = torch.autograd.grad(losses["loss_cls"], batch.logits)
    (by_boxes,) = torch.autograd.grad(losses["loss_box_reg"], batch.box_losses)
    values = {name: value.item() for name, value in losses.items()}
    return ranking_modules.Expected(values, by_logits, by_boxes)


def _corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2
