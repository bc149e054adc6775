"""Which anchor of mmdetection is which of Detectron2."""

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from torch import Tensor

from rankdet.modeling.dense.distances import ExponentialDistances
from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import numbers

_TOLERANCE = 0.01  # of sides; both sides of a comparison are rounded somewhere.
_MOST = 100  # anchors per location of a config that is taken for one


def source_of_anchors(conversion: Conversion) -> list[int]:
    """Index of the source's anchor for each anchor of a location of the config's model.

    Where the source does not say its anchors, they are those of the config, by ascending ratio of
    height and width, then by ascending size: so all published configs have them.

    Raises:
        ValueError: they are other anchors.
    """
    ours = _config_anchors(conversion)
    theirs = _source_anchors(conversion)
    if theirs is None:
        if not _are_points(conversion):
            conversion.assume("the anchors have the config's sizes and shapes")
        return _by_shape(ours[0])
    orders = [_match(a, b) for a, b in zip(ours, theirs, strict=False)]
    if len(ours) != len(theirs) or None in orders or any(order != orders[0] for order in orders):
        raise ValueError(
            f"the config's anchors have widths and heights {_shown(ours[0])} on the first level, "
            f"the checkpoint's {_shown(theirs[0])}, and {len(ours)} levels, the checkpoint's "
            f"{len(theirs)}; give the config the same anchor_generator."
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


def _are_points(conversion: Conversion) -> bool:
    """Whether boxes are distances from points, as in FCOS, whose anchors have no shape."""
    transform = getattr(conversion.target.model, "box2box_transform", None)
    return isinstance(transform, Box2BoxTransformLinear | ExponentialDistances)


def _source_anchors(conversion: Conversion) -> list[Tensor] | None:
    """As mmdetection's AnchorGenerator makes them; None: its settings are not known."""
    head = "bbox_head" if conversion.target.is_one_stage else "rpn_head"
    found = conversion.source.settings.part(head, "anchor_generator")
    ratios, scales, bases = numbers(found.get("ratios")), _scales(found), _base_sizes(found)
    if not ratios or not scales or not bases or min(ratios + scales + bases) <= 0:
        return None
    if len(ratios) * len(scales) > _MOST:
        return None
    roots = torch.tensor(ratios).double().sqrt()[:, None]
    lengths = torch.tensor(scales).double()[None]
    shapes = torch.stack([lengths / roots, lengths * roots], dim=-1)
    by_ratio = shapes if found.get("scale_major", True) else shapes.transpose(0, 1)
    return [by_ratio.flatten(0, 1) * base for base in bases]


def _scales(found: Mapping[str, Any]) -> list[float] | None:
    if found.get("scales") is not None:
        return numbers(found["scales"])
    octave = numbers([found.get("octave_base_scale"), found.get("scales_per_octave")])
    if octave is None or octave[1] < 1:
        return None
    base, number = octave
    return [base * 2 ** (step / number) for step in range(int(number))]


def _base_sizes(found: Mapping[str, Any]) -> list[float] | None:
    """One for each level; a stride may be given as that of both directions."""
    sizes = found.get("base_sizes") or found.get("strides")
    if not isinstance(sizes, list):
        return None
    return numbers(
        [min(numbers(size) or [0]) if isinstance(size, list) else size for size in sizes]
    )


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
