"""Tells the kind of a mask: polygons, run lengths, nothing, or damaged."""

from math import hypot
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

MaskKind = Literal["polygons", "partly", "invalid", "rle", "empty", "none", "damaged"]

# Pixels. A single-precision coordinate keeps its sixteenths up to here, and pycocotools allocates
# memory by the length of an outline.
MAX_COORDINATE = 1e6
_MIN_NUMBERS = 6  # a polygon has three points


class Mask(NamedTuple):
    """Description of a mask, which takes less memory than the mask."""

    kind: MaskKind
    """- "polygons": all of them are valid; a polygon with fewer than six coordinates, or an odd
      number of them, is not.
    - "partly": some of the polygons are valid, others are not.
    - "invalid": none of the polygons is valid.
    - "rle": run lengths with foreground.
    - "empty": run lengths without foreground.
    - "none": there is no mask.
    - "damaged": no program can read it.
    """
    size: tuple[int, int] | None = None
    """Height and width, of run lengths only."""
    problem: str = ""
    """What is wrong with a damaged mask."""


# One object each for millions of annotations.
_POLYGONS, _PARTLY, _INVALID, NO_MASK = (
    Mask("polygons"),
    Mask("partly"),
    Mask("invalid"),
    Mask("none"),
)


def judge_mask(mask: Any) -> Mask:
    """Find out of which kind a mask is.

    Args:
        mask: ``segmentation`` of an annotation, of a file or of a dict in Detectron2's format.

    Returns:
        Its kind. A damaged mask raises no error here.
    """
    try:
        if isinstance(mask, list):
            return _judge_polygons(mask)
        if isinstance(mask, dict):
            return _judge_rle(mask) if mask else NO_MASK
    except ValueError as error:
        return Mask("damaged", problem=str(error))
    if mask is None:
        return NO_MASK
    return Mask("damaged", problem="it must be a list of polygons, or run lengths (RLE)")


def valid_polygons(mask: Any) -> Any:
    """A mask without the polygons that Detectron2's reader of COCO files drops.

    Args:
        mask: one that is not damaged.

    Returns:
        Run lengths as they are; polygons with an even number of at least 6 coordinates; [] for no
        mask.
    """
    if not isinstance(mask, list):
        return mask or []
    return [polygon for polygon in mask if _is_valid(polygon)]


def mask_area(mask: Any, size: tuple[int, int]) -> float:
    """Number of pixels.

    Args:
        mask: one that is not damaged.
        size: height and width of the image.
    """
    valid = valid_polygons(mask)
    if isinstance(valid, dict):
        return float(run_lengths(valid)[1::2].sum())
    return float(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(valid, *size))))


def run_lengths(rle: dict[str, Any]) -> npt.NDArray[np.int64]:
    """Decode run lengths, and check that they fill the mask.

    pycocotools reads or writes beyond its memory where they do not.

    Args:
        rle: ``size`` (height, width) and ``counts``: a list, or text in COCO's compressed form.

    Returns:
        int64, lengths of background, foreground, background ...

    Raises:
        ValueError: the keys or their types are others, or the lengths do not fill the mask.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not (isinstance(size, list | tuple) and len(size) == 2 and _are_sides(size)):
        raise ValueError("its run lengths need 'size': [height, width], in pixels")
    lengths = _listed(counts) if isinstance(counts, list) else _decompressed(counts)
    if (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
        raise ValueError(f"its run lengths must add up to {size[0]} x {size[1]} pixels")
    return lengths


def _judge_polygons(polygons: list[Any]) -> Mask:
    valid = [_is_valid(polygon) for polygon in polygons]
    if all(valid):
        return _POLYGONS if valid else NO_MASK
    return _PARTLY if any(valid) else _INVALID


def _is_valid(polygon: Any) -> bool:
    if isinstance(polygon, np.ndarray):
        polygon = polygon.tolist()
    if type(polygon) in (int, float):
        raise ValueError("its polygon is written flat; it must be a list of lists: [[x, y, ...]]")
    if not isinstance(polygon, list | tuple):
        raise ValueError("each of its polygons must be a list of numbers, [x, y, x, y, ...]")
    try:
        # A norm below the limit bounds all numbers, a tenth of the time of looking at each: LVIS
        # has 1.3 million polygons.
        is_small = hypot(*polygon) <= MAX_COORDINATE
    except (TypeError, OverflowError) as error:
        raise ValueError(
            "each of its polygons must be a list of numbers, [x, y, x, y, ...]"
        ) from error
    if not is_small and not all(abs(number) <= MAX_COORDINATE for number in polygon):
        raise ValueError(
            f"its polygons need finite coordinates of at most {MAX_COORDINATE:,.0f} pixels"
        )
    return len(polygon) >= _MIN_NUMBERS and len(polygon) % 2 == 0


def _judge_rle(rle: dict[str, Any]) -> Mask:
    lengths = run_lengths(rle)
    height, width = rle["size"]
    return Mask("rle" if lengths[1::2].any() else "empty", (height, width))


def _are_sides(size: Any) -> bool:
    return all(type(side) is int and 0 < side <= MAX_COORDINATE for side in size)


def _listed(counts: list[Any]) -> npt.NDArray[np.int64]:
    if not set(map(type, counts)) <= {int} or max(counts, default=0) > MAX_COORDINATE**2:
        raise ValueError("its run lengths must be integers")
    return np.array(counts, np.int64)


def _decompressed(counts: Any) -> npt.NDArray[np.int64]:
    """Decode COCO's text: numbers in groups of 5 bits, from the fourth on as differences."""
    text = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
    if not isinstance(text, bytes):
        raise ValueError("its run lengths need 'counts', a list of integers or COCO's text")
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(groups & 0x20 == 0)
    if not len(groups):
        return groups
    if groups.min() < 0 or groups.max() > 63 or groups[-1] & 0x20:
        raise ValueError("the text of its run lengths is damaged")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:  # 50 bits, more than any image needs
        raise ValueError("the text of its run lengths is damaged")
    places = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    numbers: npt.NDArray[np.int64] = np.add.reduceat((groups & 0x1F) << places, starts)
    numbers -= (groups[ends] & 0x10 != 0) * (1 << (5 * lengths))  # the sign
    # A difference is to the last number but one, of the same kind; the first is on its own.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
