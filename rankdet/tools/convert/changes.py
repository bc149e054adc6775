"""Exact changes of weights: channels, pixel scale, order of anchors, place of background, units."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rankdet.tools.convert.anchors import source_of_anchors
from rankdet.tools.convert.rules import Change, Changed, Conversion, Piece
from rankdet.tools.convert.settings import IMAGENET, ImageFormat, numbers

_UNIT_STDS = [1.0, 1.0, 1.0, 1.0]
_ROI_STDS = [0.1, 0.1, 0.2, 0.2]
"""What mmdetection's RoI heads have where a config names no coder."""
_CODER = "DeltaXYWHBBoxCoder"
MMDETECTION_1 = (
    "this is a checkpoint of mmdetection 1, whose boxes are coded and pooled a little differently: "
    "expect its numbers roughly"
)
_TOLERANCE = 1e-3  # of means, in gray values


def fit_image(piece: Piece) -> Changed:
    """Make the first convolution take pixels as the config gives them.

    The order of its input channels is turned where RGB meets BGR, and the standard deviations move
    into it. A mean can't: the convolution pads by zeros, which are the mean's pixels.
    """
    source, target = _source_format(piece.conversion), piece.conversion.target.image_format
    _check_means(source, target)
    if piece.tensor.dim() != 4 or piece.tensor.shape[1] != 3:  # Its shape is an error, then.
        return Changed(piece.tensor)
    weight = piece.tensor if source.channels == "RGB" else piece.tensor.flip(1)
    scales = torch.tensor(target.in_rgb().std).double() / torch.tensor(source.in_rgb().std).double()
    what = []
    if not torch.allclose(scales, torch.ones_like(scales), rtol=1e-5):
        weight = weight.double() * scales[:, None, None]
        what.append("pixel deviations moved into it")
    if source.channels != target.channels:
        what.append(f"{source.channels} turned into {target.channels}")
    return Changed(weight if target.channels == "RGB" else weight.flip(1), ", ".join(what))


def _source_format(conversion: Conversion) -> ImageFormat:
    found = conversion.source.settings.image_format()
    if found is None:
        conversion.assume(
            "pixels enter as RGB with ImageNet's mean and deviation (mmdetection's detectors of "
            "style pytorch); style caffe has others: then give --source-config"
        )
        return IMAGENET
    return found


def _check_means(source: ImageFormat, target: ImageFormat) -> None:
    pairs = zip(source.in_rgb().mean, target.in_rgb().mean, strict=True)
    if any(abs(a - b) > _TOLERANCE for a, b in pairs):
        mean = source.mean if source.channels == target.channels else source.mean[::-1]
        raise ValueError(
            f"the checkpoint subtracts the pixel mean {_listed(source.mean)} ({source.channels}), "
            f"the config {_listed(target.mean)} ({target.channels}); no weight can make up for "
            f"that: add model.pixel_mean='{_listed(mean)}' to this command and to those that load "
            "the file."
        )


def _listed(values: tuple[float, ...]) -> str:
    return "[" + ",".join(f"{value:.7g}" for value in values) + "]"


def order_anchors(piece: Piece) -> Changed:
    """Put the outputs per anchor into the config's order.

    mmdetection counts the anchors of a location by shape, then by size; Detectron2 by size, then
    by shape.
    """
    order = source_of_anchors(piece.conversion)
    if order == sorted(order) or piece.tensor.shape[0] % len(order):
        return Changed(piece.tensor)
    by_anchor = piece.tensor.unflatten(0, (len(order), -1))
    return Changed(by_anchor[order].flatten(0, 1), "anchors in the config's order")


def drop_background(piece: Piece) -> Changed:
    """Take the background of mmdetection 1, its first class, out."""
    if not _is_mmdetection_1(piece):
        return Changed(piece.tensor)
    expected = piece.conversion.target.weights[piece.target_name].shape[0]
    surplus = piece.tensor.shape[0] - expected
    if surplus not in (1, 4):  # One mask, one box: else there is none, or the shape is wrong.
        return Changed(piece.tensor)
    return Changed(piece.tensor[surplus:], "background of mmdetection 1 dropped")


def background_last(piece: Piece) -> Changed:
    """Put the background of mmdetection 1, its first class, behind the others."""
    if not _is_mmdetection_1(piece):
        return Changed(piece.tensor)
    piece.conversion.assume(MMDETECTION_1)
    return Changed(piece.tensor.roll(-1, 0), "background of mmdetection 1 put last")


def _is_mmdetection_1(piece: Piece) -> bool:
    """Whether the weight of a RoI head has the name of before version 2."""
    return not piece.source_name.startswith("roi_head.")


def fit_boxes(head: str) -> Change:
    """Rescale the last layer of boxes where both sides have other units.

    Args:
        head: ``rpn``, ``roi`` or ``dense``.
    """

    def change(piece: Piece) -> Changed:
        scales, shifts = box_units(head, piece)
        if torch.equal(scales, torch.ones(4).double()) and not shifts.any():
            return Changed(piece.tensor)
        rows = piece.tensor.double().unflatten(0, (-1, 4))
        rows = rows * scales.reshape(4, *[1] * (rows.dim() - 2))
        if piece.target_name.endswith("bias"):
            rows = rows + shifts
        return Changed(rows.flatten(0, 1), "units of boxes changed")

    return change


def box_units(head: str, piece: Piece) -> tuple[Tensor, Tensor]:
    """Factors and summands, ``(4,)`` each, that turn the source's deltas into the config's."""
    ours = _config_weights(head, piece)
    none = torch.ones(4).double(), torch.zeros(4).double()
    if ours is None:
        return none
    coder = _source_coder(head, piece)
    if coder is None:
        units = _listed(tuple(round(1 / weight, 6) for weight in ours))
        piece.conversion.assume(f"{head} boxes are in units of {units}, as in the config")
        return none
    means, stds = (torch.tensor(values).double() for values in coder)
    factors = stds * torch.tensor(ours).double()
    close = torch.isclose(factors, torch.ones(4).double(), rtol=1e-6)
    return factors.where(~close, 1.0), means * torch.tensor(ours).double()


def _config_weights(head: str, piece: Piece) -> tuple[float, ...] | None:
    model: Any = piece.conversion.target.model
    if head == "rpn":
        owner = model.proposal_generator
    elif head == "roi":
        owner = model.roi_heads.box_predictor
        stage = piece.groups.get("stage", "").rstrip(".")
        owner = owner[int(stage)] if stage and hasattr(owner, "__getitem__") else owner
    else:
        owner = model
    weights = getattr(getattr(owner, "box2box_transform", None), "weights", None)
    return None if weights is None else tuple(map(float, weights))


def _source_coder(head: str, piece: Piece) -> tuple[list[float], list[float]] | None:
    settings = piece.conversion.source.settings
    stage = int(piece.groups.get("stage", "").rstrip(".") or 0)
    found = settings.part(*_path(head, piece, stage))
    if not found:
        return None
    coder = found.get("bbox_coder", found)  # mmdetection 1 has no coder of its own.
    if not isinstance(coder, Mapping):
        return None
    if coder is not found:
        _check_kind(head, str(coder.get("type", _CODER)))
    default = _ROI_STDS if head == "roi" and coder is found else _UNIT_STDS
    means = numbers(coder.get("target_means", [0.0] * 4), 4)
    stds = numbers(coder.get("target_stds", default), 4)
    return None if means is None or stds is None or min(stds) <= 0 else (means, stds)


def _check_kind(head: str, kind: str) -> None:
    if kind != _CODER:
        raise ValueError(
            f"the {head} boxes of the checkpoint are coded by mmdetection's {kind[:80]}, those of "
            f"the config as by its {_CODER}; rankdet has no such detector."
        )


def _path(head: str, piece: Piece, stage: int) -> tuple[str | int, ...]:
    if head == "rpn":
        return ("rpn_head",)
    if head == "dense":
        return ("bbox_head",)
    roi_head = () if _is_mmdetection_1(piece) else ("roi_head",)
    return (*roi_head, "bbox_head", stage)
