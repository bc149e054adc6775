"""Checks of the records of an annotation file; every message names the bad entry."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from rankdet.data.masks import MAX_COORDINATE, Mask, judge_mask

Record = dict[str, Any]
Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
IdArray = Int64Array | npt.NDArray[np.str_]

_CROWD_TYPES = (int, bool, float)
_AREA_TYPES = (float, int, type(None))


def column(records: list[Record], key: str, where: str) -> Int64Array:
    """Collect the integers under one key of all records.

    Args:
        records: N images, annotations or categories.
        key: name of an integer field that every record has.
        where: description of the records for the message, such as "annotations of FILE".

    Returns:
        int64, ``(N,)``.

    Raises:
        ValueError: a record is no JSON object, lacks the key, or has there anything but an integer
            of at most 64 bits.
    """
    try:
        values = [record[key] for record in records]
        # NumPy would make integers of 1.5, "1" and true.
        if set(map(type, values)) <= {int}:
            return np.array(values, np.int64)
    except (KeyError, TypeError, OverflowError):
        pass
    raise ValueError(_first_defect(records, key, where))


def image_ids(records: list[Record], key: str, where: str) -> IdArray:
    """Collect the ids of images: integers, or strings where all are strings.

    LVIS and COCO have integers; what Detectron2 converts to COCO's format has the ids of the data
    set, which are file names for Cityscapes.

    Args:
        records: N images or annotations.
        key: name of the field.
        where: description of the records for the message.

    Returns:
        int64 or str, ``(N,)``.

    Raises:
        ValueError: see :func:`column`.
    """
    if records and all(isinstance(r, dict) and type(r.get(key)) is str for r in records):
        return np.array([record[key] for record in records], np.str_)
    return column(records, key, where)


def check_content(content: Record, path: str) -> None:
    """Check ids, references, boxes, crowds, areas and the lists of classes of images.

    Args:
        content: a parsed file, with its three lists.
        path: of the file, for the messages.

    Raises:
        ValueError: see :func:`rankdet.data.annotation_file.read_annotations`.
    """
    of_kind = {"images": image_ids, "annotations": column, "categories": column}
    ids = {kind: read(content[kind], "id", f"{kind} of {path}") for kind, read in of_kind.items()}
    for kind, values in ids.items():
        _check_unique(values, f"{kind} of {path}")
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        values = of_kind[kind](content["annotations"], key, f"annotations of {path}")
        # NumPy would take 1 and "1" for equal.
        is_same_type = values.dtype.kind == ids[kind].dtype.kind
        unknown = ~np.isin(values, ids[kind]) | (not is_same_type)
        if unknown.any():
            bad = int(unknown.argmax())
            raise ValueError(
                f"Annotation {ids['annotations'][bad]} of {path} has the {key} "
                f"{values[bad].item()!r}, "
                f"which is not among the file's {len(ids[kind])} {kind}."
            )
    boxes(content["annotations"], path)
    _check_sizes(content["images"], path)
    _check_crowds_and_areas(content["annotations"], path)
    _check_class_lists(content["images"], path)


def boxes(annotations: list[Record], path: str) -> FloatArray:
    """Collect the boxes of annotations.

    Args:
        annotations: N records.
        path: of their file, for the message.

    Returns:
        ``(N, 4)``, x, y, width, height in pixels.

    Raises:
        ValueError: a box is missing, or it is not four finite numbers up to a million with a
            width and a height of at least 0.
    """
    try:
        values = _box_array([annotation["bbox"] for annotation in annotations])
    except (KeyError, TypeError, ValueError, OverflowError):
        values = np.stack([_box_or_nan(annotation.get("bbox")) for annotation in annotations])
    good = (np.abs(values) <= MAX_COORDINATE).all(axis=1) & (values[:, 2:] >= 0).all(axis=1)
    if not good.all():
        bad = annotations[int(good.argmin())]
        raise ValueError(
            f"Annotation {bad['id']} of {path} has {bad.get('bbox')!r} as 'bbox'; it must be "
            "[x, y, width, height] with finite numbers, width and height not negative, and none "
            f"above {MAX_COORDINATE:,.0f} pixels."
        )
    return values


def check_mask(annotation: Record, size: tuple[Any, Any], path: str) -> Mask:
    """Find out what the mask of an annotation is, and refuse what no program can read.

    Args:
        annotation: its ``segmentation`` is a mask, or what :func:`judge_mask` says of it.
        size: height and width of its image; None where the file does not say.
        path: of its file, for the message.

    Raises:
        ValueError: it is damaged, or has another size than the image.
    """
    mask = annotation.get("segmentation")
    mask = mask if isinstance(mask, Mask) else judge_mask(mask)
    problem = mask.problem
    if mask.size is not None and None not in size and mask.size != tuple(size):
        problem = (
            f"its run lengths are of {mask.size[0]} x {mask.size[1]} pixels, but its image has "
            f"{size[0]} x {size[1]} (height x width)"
        )
    if problem:
        raise ValueError(
            f"The mask ('segmentation') of annotation {annotation['id']} of {path} "
            f"can't be read: {problem}."
        )
    return mask


def _first_defect(records: list[Any], key: str, where: str) -> str:
    limits = np.iinfo(np.int64)
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            return f"Entry {index} of the {where} is {record!r}; it must be a JSON object."
        value = record.get(key)
        if type(value) is not int or not limits.min <= value <= limits.max:
            break
    return (
        f"Entry {index} of the {where} has {value!r} as {key!r}; every entry needs an integer "
        "of at most 64 bits there."
    )


def _check_unique(ids: IdArray, where: str) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        bad = int(counts.argmax())
        raise ValueError(f"Id {values[bad]} occurs {counts[bad]} times among the {where}.")


def _check_sizes(images: list[Record], path: str) -> None:
    """Check the sides that are given; callers that need both check that they are there."""
    for image in images:
        for key in ("height", "width"):
            side = image.get(key, 1)
            if type(side) is not int or not 0 < side <= MAX_COORDINATE:
                raise ValueError(
                    f"Image {image['id']} of {path} has {side!r} as {key!r}; it must be a positive "
                    "integer, the number of pixels."
                )


def _check_crowds_and_areas(annotations: list[Record], path: str) -> None:
    for one in annotations:
        crowd, area = one.get("iscrowd", 0), one.get("area", 0)
        if type(crowd) not in _CROWD_TYPES or crowd not in (0, 1):
            raise ValueError(
                f"Annotation {one['id']} of {path} has {crowd!r} as 'iscrowd'; it must be 0, or 1 "
                "for a group of objects."
            )
        if type(area) not in _AREA_TYPES or (area is not None and not 0 <= area < np.inf):
            raise ValueError(
                f"Annotation {one['id']} of {path} has {area!r} as 'area'; it must be a number of "
                "pixels, or missing: then it follows from the mask or the box."
            )


def _check_class_lists(images: list[Record], path: str) -> None:
    for image in images:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            ids = image.get(key, [])
            if not isinstance(ids, list) or not set(map(type, ids)) <= {int}:
                raise ValueError(
                    f"Image {image['id']} of {path} has {ids!r} as {key!r}; it must be a list of "
                    "category ids."
                )


def _box_array(boxes: Iterable[list[float]]) -> FloatArray:
    boxes = list(boxes)
    if any(len(box) != 4 for box in boxes):
        raise ValueError("A box has four numbers.")
    numbers = list(chain.from_iterable(boxes))
    # NumPy would make a number of "1.5" or true.
    if not set(map(type, numbers)) <= {int, float}:
        raise TypeError("A box consists of numbers.")
    return np.array(numbers, np.float64).reshape(-1, 4)


def _box_or_nan(box: Any) -> FloatArray:
    try:
        return _box_array([box]).reshape(4)
    except (TypeError, ValueError, OverflowError):
        return np.full(4, np.nan)
