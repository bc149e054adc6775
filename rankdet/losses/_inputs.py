"""Checks of inputs and settings that all losses share."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

IGNORED = -1
"""Label of a row that is neither foreground nor background."""


class CheckedInputs(NamedTuple):
    """What a classification loss works on.

    Attributes:
        logits: ``(N, L)`` float32 or wider.
        labels: ``(N,)`` int64 in [0, C].
        guard: scalar 0, or NaN if the input is invalid. Add it to the loss.
    """

    logits: Tensor
    labels: Tensor
    guard: Tensor


def check_inputs(logits: Tensor, labels: Tensor, num_classes: int) -> CheckedInputs:
    """Check and widen the inputs of a classification loss without a host sync.

    Infinite logits can cancel out of a loss (a negative class at minus infinity costs nothing),
    so ``guard`` carries them on: a loss with invalid logits is never finite.

    Args:
        logits: ``(N, L)`` float of any precision.
        labels: ``(N,)`` integer in [0, C]; C is background.
        num_classes: C, number of foreground classes.

    Returns:
        The inputs to compute with.

    Raises:
        ValueError: wrong shapes or dtypes; on CPU also a label outside [0, C]. On an accelerator,
            where reading labels would cost a sync, such a label makes ``guard`` NaN instead.
    """
    _check_shapes(logits, labels)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    guard = (wide.detach() * 0.0).sum()
    if labels.device.type == "cpu":
        _raise_for_labels(labels, num_classes)
        return CheckedInputs(wide, labels.long(), guard)
    safe, is_valid = _clamp_labels(labels, num_classes)
    return CheckedInputs(wide, safe, torch.where(is_valid, guard, torch.nan))


class JointInputs(NamedTuple):
    """What a joint loss works on.

    Attributes:
        logits: ``(N, C)`` float32 or wider.
        is_ignored: ``(N,)`` bool.
        rows: ``(F,)`` indices of the foreground rows.
        classes: ``(F,)`` their labels in [0, C).
        ious: ``(F,)`` without gradient, of the dtype of the logits.
        guard: scalar 0, or NaN if the input is invalid. Add it to a loss.
    """

    logits: Tensor
    is_ignored: Tensor
    rows: Tensor
    classes: Tensor
    ious: Tensor
    guard: Tensor


def check_joint_inputs(
    logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor, num_classes: int
) -> JointInputs:
    """Check what a head gives to a joint loss and find its foreground.

    Args:
        logits: ``(N, C)``.
        labels: ``(N,)`` int64 in [0, C]; C is background, -1 an ignored row.
        ious: ``(F,)``.
        box_losses: ``(F,)``.
        num_classes: C.

    Returns:
        The inputs, in float32 or wider.

    Raises:
        ValueError: see :func:`check_inputs`, or not one IoU and box loss per
            foreground row.
    """
    check_num_logits(logits, num_classes)
    is_ignored = labels == IGNORED
    x = check_inputs(logits, labels.masked_fill(is_ignored, num_classes), num_classes)
    rows = (x.labels < num_classes).nonzero().squeeze(1)
    for name, values in (("ious", ious), ("box_losses", box_losses)):
        if values.shape != rows.shape:
            raise ValueError(
                f"{name} must have shape ({len(rows)},), one per foreground row of labels, "
                f"got {tuple(values.shape)}; decode the boxes of the foreground rows in order."
            )
    wide_ious = ious.detach().to(x.logits.dtype)
    return JointInputs(
        logits=x.logits,
        is_ignored=is_ignored,
        rows=rows,
        classes=x.labels[rows],
        ious=wide_ious,
        guard=x.guard + (wide_ious * 0.0).sum(),
    )


def check_layers(
    logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor, num_classes: int
) -> JointInputs:
    """Check what a decoder gives to a joint loss, and find the foreground of its layers.

    Args:
        logits: ``(G, N, C)``.
        labels: ``(G, N)`` int64 in [0, C]; C is background, -1 an ignored row.
        ious: ``(G, F)``.
        box_losses: ``(G, F)``.
        num_classes: C.

    Returns:
        The inputs of all layers, G N rows and G F of the foreground, and a guard ``(G,)``.

    Raises:
        ValueError: see :func:`check_joint_inputs`, or the layers differ in their number of
            foreground rows.
    """
    _check_layered(logits, labels, ious, box_losses)
    x = check_joint_inputs(
        logits.flatten(0, 1), labels.flatten(), ious.flatten(), box_losses.flatten(), num_classes
    )
    guard = (x.logits.detach() * 0.0).view(len(logits), -1).sum(1)
    guard = guard + (x.ious.view_as(ious) * 0.0).sum(1)
    layers = x.rows.view_as(ious) // max(logits.shape[1], 1)
    are_even = (layers == torch.arange(len(logits), device=layers.device).unsqueeze(1)).all()
    if labels.device.type == "cpu":
        _raise_for_layers(are_even, labels, num_classes)
        return x._replace(guard=guard)
    are_valid = _clamp_labels(labels.where(labels != IGNORED, num_classes), num_classes)[1]
    return x._replace(guard=torch.where(are_even & are_valid, guard, torch.nan))


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError unless a setting is finite and in [low, high]."""
    if not (low <= value <= high and math.isfinite(value)):
        limits = f"<= {high}" if math.isfinite(high) else "finite"
        raise ValueError(f"{name} is {value}; give a number >= {low} and {limits}.")


def check_epoch_length(iterations_per_epoch: int | None) -> None:
    """Raise ValueError unless it is a positive number, or None: not known yet."""
    if iterations_per_epoch is not None and iterations_per_epoch < 1:
        raise ValueError(
            f"iterations_per_epoch is {iterations_per_epoch}; give a number >= 1, or None."
        )


def foreground_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Labels to count foreground by: all that are not in [0, C), such as -1, become C.

    Args:
        labels: ``(N,)`` integer.
        num_classes: C.

    Returns:
        ``(N,)`` int64 in [0, C].
    """
    labels = labels.long()
    return labels.where((labels >= 0) & (labels < num_classes), num_classes)


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """One-vs-all targets; a label beyond the last column (background) gives a row of zeros.

    Args:
        labels: ``(N,)`` int64 in [0, L].
        like: ``(N, L)`` logits that give width, dtype and device.

    Returns:
        ``(N, L)`` of 0 and 1.
    """
    columns = like.shape[1]
    targets = like.new_zeros(len(labels), columns + 1)
    return targets.scatter_(1, labels.unsqueeze(1), 1)[:, :columns]


def check_num_logits(logits: Tensor, num_logits: int) -> None:
    """Raise ValueError unless logits are ``(N, num_logits)``."""
    if logits.dim() != 2 or logits.shape[1] != num_logits:
        raise ValueError(
            f"logits must have shape (N, {num_logits}) for this loss, got {tuple(logits.shape)}; "
            "build the classifier with loss.num_logits outputs."
        )


def _check_shapes(logits: Tensor, labels: Tensor) -> None:
    if logits.dim() != 2 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be a float matrix (N, number of logits), got {logits.dtype} of shape "
            f"{tuple(logits.shape)}; pass the raw output of the classifier."
        )
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"labels must have shape ({len(logits)},) like the rows of logits, got "
            f"{tuple(labels.shape)}; pass one class index per row."
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers, got {labels.dtype}; pass class indices.")


def _raise_for_labels(labels: Tensor, num_classes: int) -> None:
    if labels.numel() == 0:
        return
    low, high = (int(x) for x in torch.aminmax(labels))
    if low < 0 or high > num_classes:
        raise ValueError(
            f"labels contains {low if low < 0 else high}, outside [0, {num_classes}] "
            f"({num_classes} is background); check the category ids of the data set against "
            "num_classes."
        )


def _clamp_labels(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Labels that are safe to index with, and a scalar bool: were they all in [0, C]?"""
    safe = labels.long().clamp(0, num_classes)
    return safe, (safe == labels).all()


def _check_layered(logits: Tensor, labels: Tensor, ious: Tensor, box_losses: Tensor) -> None:
    for name, values, num_dims in (
        *(("logits", logits, 3), ("labels", labels, 2)),
        *(("ious", ious, 2), ("box_losses", box_losses, 2)),
    ):
        if values.dim() != num_dims or not len(values) == len(logits) > 0:
            raise ValueError(
                f"{name} must have {num_dims} dimensions, the first of all layers, got "
                f"{tuple(values.shape)} beside logits of shape {tuple(logits.shape)}; stack what "
                "the layers give."
            )


def _raise_for_layers(are_even: Tensor, labels: Tensor, num_classes: int) -> None:
    if not are_even:
        counts = ((labels >= 0) & (labels < num_classes)).sum(1).tolist()
        raise ValueError(
            f"labels has {counts} foreground rows in its layers; match as many in each, or call "
            "losses layer by layer."
        )
