"""Which anchor of mmdetection is which of Detectron2."""

from typing import Any

import torch
from torch import Tensor

from rankdet.tools.convert.rules import Conversion

_TOLERANCE = 0.01  # of sides; both sides of a comparison are rounded somewhere.


def source_of_anchors(conversion: Conversion) -> list[int]:
    """Index of the source's anchor for each anchor of a location of the config's model.

    Where the source does not say its anchors, they are those of the config, by ascending ratio of
    height and width, then by ascending size: so all published configs have them.

    Raises:
        ValueError: they are other anchors.
    """
    ours = _config_anchors(conversion)
    theirs = _source_anchors(conversion, len(ours))
    if theirs is None:
        if len(ours[0]) > 1:
            conversion.assume("the anchors have the config's sizes and shapes")
        return _by_shape(ours[0])
    orders = [_match(a, b) for a, b in zip(ours, theirs, strict=True)]
    if None in orders or any(order != orders[0] for order in orders):
        raise ValueError(
            f"the config's anchors have widths and heights {_shown(ours[0])} on the first level, "
            f"the checkpoint's {_shown(theirs[0])}, and {len(ours)} levels; give the config the "
            "same anchor_generator."
        )
    return orders[0] or []


def _config_anchors(conversion: Conversion) -> list[Tensor]:
    """Widths and heights ``(A, 2)`` of each level."""
    cells = list(conversion.target.anchor_generator.cell_anchors)
    return [cell[:, 2:].double() - cell[:, :2].double() for cell in cells]


def _by_shape(sides: Tensor) -> list[int]:
    ratios = [round(float(height / width), 2) for width, height in sides]
    areas = [float(width * height) for width, height in sides]
    theirs = sorted(range(len(sides)), key=lambda i: (ratios[i], areas[i]))
    return [theirs.index(i) for i in range(len(sides))]


def _source_anchors(conversion: Conversion, num_levels: int) -> list[Tensor] | None:
    """As mmdetection's AnchorGenerator makes them; None: its settings are not known."""
    head = "bbox_head" if conversion.target.is_one_stage else "rpn_head"
    found: Any = conversion.source.settings.get(head, "anchor_generator")
    if not isinstance(found, dict) or not found.get("strides") or not found.get("ratios"):
        return None
    scales = found.get("scales")
    if scales is None:
        number, base = found.get("scales_per_octave"), found.get("octave_base_scale")
        if not number or not base:
            return None
        scales = [base * 2 ** (octave / number) for octave in range(number)]
    strides = found.get("base_sizes") or found["strides"]
    if len(strides) != num_levels:
        return None
    roots = torch.tensor(found["ratios"]).double().sqrt()[:, None]
    lengths = torch.tensor(scales).double()[None]
    shapes = torch.stack([lengths / roots, lengths * roots], dim=-1).flatten(0, 1)
    return [shapes * stride for stride in strides]


def _match(ours: Tensor, theirs: Tensor) -> list[int] | None:
    """Index of the equal one of theirs for each of ours; None: they are others."""
    if ours.shape != theirs.shape:
        return None
    errors = (ours[:, None] / theirs[None]).log().abs().amax(dim=2)
    best = errors.min(dim=1)
    order: list[int] = best.indices.tolist()
    is_same = best.values.max() < _TOLERANCE and len(set(order)) == len(order)
    return order if is_same else None


def _shown(sides: Tensor) -> str:
    return ", ".join(f"{width:.0f} x {height:.0f}" for width, height in sides.tolist())
