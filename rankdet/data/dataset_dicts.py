"""Checks and counts of dicts in Detectron2's format, for data sets registered by a function."""

from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from rankdet.data.annotation_checks import Record
from rankdet.data.masks import MAX_COORDINATE, judge_mask
from rankdet.data.trained_objects import Objects, Trained, trained

_FIELDS: list[tuple[str, Any, str]] = [
    ("file_name", str, "the path of the image"),
    ("image_id", (str, int, np.integer), "an integer or a string"),
    ("height", (int, np.integer), "a positive integer, the number of pixels"),
    ("width", (int, np.integer), "a positive integer, the number of pixels"),
]
_NUMBERS: Any = (int, float, np.integer, np.floating)
_MODES = {BoxMode.XYXY_ABS: 4, BoxMode.XYWH_ABS: 4, BoxMode.XYWHA_ABS: 5}


def check_dicts(dicts: Any, num_classes: int | None, name: str) -> None:
    """Check that the dicts have all that training and evaluation need.

    Args:
        dicts: what the function of a data set returns.
        num_classes: C; None: unknown, every class is accepted.
        name: of the data set, for the messages.

    Raises:
        ValueError: it is no list of dicts, or empty; an image lacks its file name, id, height or
            width, or ``annotations`` while others have them; or an object's box, mode, class, crowd
            mark or mask is not what Detectron2 takes.
    """
    if not isinstance(dicts, list) or not all(isinstance(record, dict) for record in dicts):
        raise ValueError(
            f"The function of dataset {name!r} returns {_kind(dicts)}; it must return a list of "
            "dicts in Detectron2's format."
        )
    if not dicts:
        raise ValueError(f"Dataset {name!r} is empty: its function returns no image.")
    has_annotations = "annotations" in dicts[0]
    seen: dict[Any, int] = {}
    for index, record in enumerate(dicts):
        owner = f"Image {index} of dataset {name!r}"
        _check_image(record, owner)
        other = seen.setdefault(record["image_id"], index)
        if other != index:
            raise ValueError(
                f"Images {other} and {index} of dataset {name!r} have the same image_id "
                f"{record['image_id']!r}; every image needs its own."
            )
        if has_annotations != ("annotations" in record):
            raise ValueError(
                f"{owner} ({record['file_name']}) differs from the first one in having "
                "'annotations'; give all images that list, [] for none."
            )
        for one in _annotations(record, owner):
            _check_object(one, record, num_classes, owner)


def count_dicts(dicts: list[Record], num_classes: int) -> Trained:
    """Count what Detectron2 trains on.

    Args:
        dicts: of a data set, checked by :func:`check_dicts`.
        num_classes: C.
    """
    return trained(_objects(dicts), num_classes)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return next(f"a list with {one!r} in it" for one in value if not isinstance(one, dict))
    return f"a {type(value).__name__}"


def _objects(dicts: list[Record]) -> Objects:
    pairs = [(i, one) for i, record in enumerate(dicts) for one in record.get("annotations", [])]
    sizes = np.array([(r["width"], r["height"]) for r in dicts], np.float64).reshape(-1, 2)
    images = np.array([index for index, _ in pairs], np.int64)
    return Objects(
        ids=[f"in {dicts[index]['file_name']}" for index, _ in pairs],
        images=images,
        classes=np.array([one["category_id"] for _, one in pairs], np.int64),
        boxes=np.array([_edges(one) for _, one in pairs], np.float64).reshape(-1, 4),
        sizes=sizes[images],
        is_crowd=np.array([one.get("iscrowd", 0) != 0 for _, one in pairs], bool),
        masks=[judge_mask(one.get("segmentation")).kind for _, one in pairs],
        drops_polygons=False,
    )


def _edges(annotation: Record) -> list[float]:
    box = [float(number) for number in annotation["bbox"]]
    edges: list[float] = BoxMode.convert(box, annotation["bbox_mode"], BoxMode.XYXY_ABS)
    return edges


def _check_image(record: Record, owner: str) -> None:
    for key, kinds, wanted in _FIELDS:
        value: Any = record.get(key)
        is_good = isinstance(value, kinds) and not isinstance(value, bool)
        if is_good and key in ("height", "width"):
            is_good = 0 < value <= MAX_COORDINATE
        if not is_good:
            image = f" ({record['file_name']})" if "file_name" in record else ""
            raise ValueError(f"{owner}{image} has {value!r} as {key!r}; it must be {wanted}.")


def _annotations(record: Record, owner: str) -> list[Record]:
    annotations = record.get("annotations", [])
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise ValueError(
            f"{owner} ({record['file_name']}) has {annotations!r} as 'annotations'; it must be a "
            "list of dicts."
        )
    return annotations


def _check_object(one: Record, record: Record, num_classes: int | None, owner: str) -> None:
    problem = (
        _class_problem(one.get("category_id"), num_classes)
        or _box_problem(one)
        or _mask_problem(one, record)
    )
    if problem:
        raise ValueError(
            f"An annotation of {owner[0].lower()}{owner[1:]} ({record['file_name']}) has {problem}."
        )


def _class_problem(category_id: Any, num_classes: int | None) -> str:
    is_integer = isinstance(category_id, int | np.integer) and not isinstance(category_id, bool)
    if is_integer and 0 <= category_id and (num_classes is None or category_id < num_classes):
        return ""
    most = "" if num_classes is None else f" {num_classes - 1}"
    return f"category_id {category_id!r}; it must be an integer in 0 ..{most}"


def _box_problem(annotation: Record) -> str:
    mode, box = annotation.get("bbox_mode"), annotation.get("bbox")
    if not isinstance(mode, int) or mode not in _MODES:
        return f"bbox_mode {mode!r}; it must be BoxMode.XYXY_ABS or BoxMode.XYWH_ABS"
    numbers: Any = box.tolist() if isinstance(box, np.ndarray) else box
    if not isinstance(numbers, list | tuple) or len(numbers) != _MODES[mode]:
        return f"bbox {box!r}; it must be a list of {_MODES[mode]} numbers"
    if not all(
        isinstance(number, _NUMBERS) and abs(number) <= MAX_COORDINATE for number in numbers
    ):
        return (
            f"bbox {box!r}; it must consist of finite numbers of at most {MAX_COORDINATE:,.0f} "
            "pixels"
        )
    left, top = numbers[:2] if mode == BoxMode.XYXY_ABS else (0, 0)
    if numbers[2] < left or numbers[3] < top:
        return f"bbox {box!r} of negative width or height; check its bbox_mode"
    return ""


def _mask_problem(one: Record, record: Record) -> str:
    crowd, segmentation = one.get("iscrowd", 0), one.get("segmentation")
    if not isinstance(crowd, int | float | np.number) or crowd not in (0, 1):
        return f"iscrowd {crowd!r}; it must be 0, or 1 for a group of objects"
    mask = judge_mask(segmentation)
    if mask.problem:
        return f"a segmentation that can't be read: {mask.problem}"
    size = (record["height"], record["width"])
    if mask.size is not None and mask.size != size:
        return f"run lengths of {mask.size} pixels in an image of {size} (height, width)"
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list):
        return (
            "run lengths as a list of numbers; Detectron2 takes the compressed form, "
            "pycocotools.mask.frPyObjects(rle, height, width)"
        )
    return ""
