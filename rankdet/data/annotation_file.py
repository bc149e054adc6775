"""Reading annotation files in the format of LVIS and COCO; every defect gets a sentence."""

import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

Record = dict[str, Any]
Int64Array = npt.NDArray[np.int64]
IdArray = Int64Array | npt.NDArray[np.str_]

HOW_TO_GET = (
    'the README sections "LVIS v1" and "COCO and Cityscapes" say how to get and arrange these'
)


def read_annotations(path: str | Path, *, dataset_name: str = "", masks: bool = True) -> Record:
    """Read an annotation file in the format of LVIS or COCO and check that it is consistent.

    A file without the list `annotations`, as challenges publish for their test sets, has none of
    them. An annotation without `area` gets that of its mask, or else of its box. Polygons with an
    odd number of coordinates, or fewer than six, are dropped, as Detectron2's reader of COCO files
    does; an annotation that loses all of them stays, with the mask [].

    Args:
        path: The JSON file, with the lists `images`, `annotations` and `categories`.
        dataset_name: The dataset that the file belongs to, for the messages.
        masks: False leaves the `segmentation` of the annotations out, which saves most of the
            memory.

    Returns:
        The parsed file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not valid JSON, lacks a key, repeats an id, refers to an image or a
            category that does not exist, or has a box of negative or non-finite size.
    """
    content = _parse(Path(path), dataset_name, masks)
    _check(content, str(path))
    _complete(content, masks)
    return content


def lacks_negatives(content: Record) -> bool:
    """Whether a federated file names no absent class for any image, so that confusions are free.

    By the rules of LVIS a detection counts only where its class is annotated, or listed in the
    image's `neg_category_ids`. If these are all empty, a detection of a wrong class never counts,
    and AP comes out far too high.

    Args:
        content: A parsed annotation file.

    Returns:
        True if some image has the field and all that have it leave it empty.
    """
    negatives = [i["neg_category_ids"] for i in content["images"] if "neg_category_ids" in i]
    return bool(negatives) and not any(negatives)


def column(records: list[Record], key: str, where: str) -> Int64Array:
    """Collect the integers under one key of all records.

    Args:
        records: N images, annotations or categories.
        key: Name of an integer field that every record has.
        where: What the records are, for the message ("annotations of FILE").

    Returns:
        int64, (N,).

    Raises:
        ValueError: A record is no JSON object, lacks the key, or holds something else than an
            integer there, or one beyond 64 bits.
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
        key: Name of the field.
        where: What the records are, for the message.

    Returns:
        int64 or str, (N,).

    Raises:
        ValueError: See :func:`column`.
    """
    if records and all(isinstance(r, dict) and type(r.get(key)) is str for r in records):
        return np.array([record[key] for record in records], np.str_)
    return column(records, key, where)


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


def _parse(path: Path, dataset_name: str, masks: bool) -> Record:
    owner = f" of dataset {dataset_name!r}" if dataset_name else ""
    if not path.is_file():
        raise FileNotFoundError(
            f"The annotation file{owner} does not exist: {path}; set DETECTRON2_DATASETS to the "
            f"folder that holds the data sets ({HOW_TO_GET})."
        )
    try:
        with path.open(encoding="utf-8") as file, _paused_garbage_collection():
            content = json.load(file, object_hook=None if masks else _without_mask)
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError
        raise ValueError(
            f"The annotation file{owner} is not valid JSON ({error}): {path} "
            f"({path.stat().st_size} bytes) is cut short or damaged; download or generate it again."
        ) from error
    if isinstance(content, dict):
        content.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(
                f"The annotation file{owner} has no list {key!r}: {path}; rankdet reads the "
                "format of LVIS and COCO."
            )
    return dict(content)


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Parsing makes millions of objects, none of them garbage: looking for some costs a third."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _without_mask(record: Record) -> Record:
    # Without an area it follows from the mask, for which the image must be known.
    if record.get("area") is not None:
        record.pop("segmentation", None)
    return record


def _complete(content: Record, masks: bool) -> None:
    images = {image["id"]: image for image in content["images"]}
    for one in content["annotations"]:
        polygons = one.get("segmentation")
        if isinstance(polygons, list):
            one["segmentation"] = [p for p in polygons if len(p) >= 6 and not len(p) % 2]
        if one.get("area") is None:
            one["area"] = _area(one, images[one["image_id"]])
        if not masks:
            one.pop("segmentation", None)


def _area(annotation: Record, image: Record) -> float:
    mask = annotation.get("segmentation")
    if isinstance(mask, list) and mask and "height" in image:
        mask = coco_mask.merge(coco_mask.frPyObjects(mask, image["height"], image["width"]))
    elif isinstance(mask, dict) and isinstance(mask["counts"], list):
        mask = coco_mask.frPyObjects(mask, *mask["size"])
    area = float(coco_mask.area(mask)) if isinstance(mask, dict) else 0
    return area or float(annotation["bbox"][2] * annotation["bbox"][3])


def _check(content: Record, path: str) -> None:
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
    _check_boxes(content["annotations"], path)


def _check_unique(ids: IdArray, where: str) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        bad = int(counts.argmax())
        raise ValueError(f"Id {values[bad]} occurs {counts[bad]} times among the {where}.")


def _check_boxes(annotations: list[Record], path: str) -> None:
    try:
        boxes = _box_array([annotation["bbox"] for annotation in annotations])
    except (KeyError, TypeError, ValueError, OverflowError):
        boxes = np.stack([_box_or_nan(annotation.get("bbox")) for annotation in annotations])
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= 0).all(axis=1)
    if not good.all():
        bad = annotations[int(good.argmin())]
        raise ValueError(
            f"Annotation {bad['id']} of {path} has {bad.get('bbox')!r} as 'bbox'; it must be "
            "[x, y, width, height] with finite numbers, width and height not negative."
        )


def _box_array(boxes: Iterable[list[float]]) -> npt.NDArray[np.float64]:
    boxes = list(boxes)
    if any(len(box) != 4 for box in boxes):
        raise ValueError("A box has four numbers.")
    numbers = list(chain.from_iterable(boxes))
    # NumPy would make a number of "1.5" or true.
    if not set(map(type, numbers)) <= {int, float}:
        raise TypeError("A box consists of numbers.")
    return np.array(numbers, np.float64).reshape(-1, 4)


def _box_or_nan(box: Any) -> npt.NDArray[np.float64]:
    try:
        return _box_array([box]).reshape(4)
    except (TypeError, ValueError, OverflowError):
        return np.full(4, np.nan)
