"""Reads annotation files in the format of LVIS and COCO; one sentence explains each defect."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detectron2.data.datasets import builtin

from rankdet.data.annotation_checks import Record as Record  # part of this module's interface
from rankdet.data.annotation_checks import check_content, check_mask
from rankdet.data.masks import judge_mask, mask_area, valid_polygons

_HOW_TO_GET = (
    "; set DETECTRON2_DATASETS to the folder that holds the data sets (the README sections "
    '"LVIS v1" and "COCO and Cityscapes" say how to get and arrange these).'
)
_BUILTIN_SPLITS = (
    *builtin._PREDEFINED_SPLITS_COCO.values(),
    *builtin._PREDEFINED_SPLITS_LVIS.values(),
)


def read_annotations(path: str | Path, *, dataset_name: str = "", masks: bool = True) -> Record:
    """Read an annotation file in the format of LVIS or COCO and check that it is consistent.

    A file without the list ``annotations``, as challenges publish for their test sets, has none of
    them. An annotation without ``area`` gets that of its mask, or else of its box. Polygons with an
    odd number of coordinates, or fewer than six, are dropped, as Detectron2's reader of COCO files
    does; an annotation that loses all of them stays, with the mask [].

    Args:
        path: the JSON file, with the lists ``images``, ``annotations`` and ``categories``.
        dataset_name: the dataset that the file belongs to, for the messages.
        masks: False leaves the ``segmentation`` of the annotations out, which saves most of the
            memory.

    Returns:
        The parsed file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not valid JSON, lacks a key, repeats an id, refers to an image or a
            category that does not exist, has a box of negative, non-finite or giant size, a mask
            that can't be read, or a field of another type.
    """
    content = _parse(Path(path), dataset_name, None if masks else _without_mask)
    check_content(content, str(path))
    _complete(content, str(path), masks)
    return content


def read_with_judged_masks(
    path: Path, *, dataset_name: str = "", needs_annotations: bool = False
) -> Record:
    """Read an annotation file, and keep of its masks only what kind they are.

    Args:
        path: see :func:`read_annotations`.
        dataset_name: see there.
        needs_annotations: refuse a file without the list ``annotations``, as Detectron2's reader of
            LVIS files fails on it.

    Returns:
        The parsed file, each ``segmentation`` replaced by a :class:`rankdet.data.masks.Mask`. It
        describes damaged masks, too.

    Raises:
        FileNotFoundError: see :func:`read_annotations`.
        ValueError: see there; damaged masks raise none.
    """
    content = _parse(path, dataset_name, _with_judged_mask, needs_annotations)
    check_content(content, str(path))
    return content


def lacks_negatives(content: Record) -> bool:
    """True if a federated file names no absent class for any image, so that confusions are free.

    By the rules of LVIS a detection counts only where its class is annotated, or listed in the
    image's ``neg_category_ids``. If these are all empty, a detection of a wrong class never counts,
    and AP comes out far too high.

    Args:
        content: a parsed annotation file.

    Returns:
        True if some image has the field and all that have it leave it empty.
    """
    negatives = [i["neg_category_ids"] for i in content["images"] if "neg_category_ids" in i]
    return bool(negatives) and not any(negatives)


def how_to_get(dataset_name: str) -> str:
    """Write the end of a message about a missing file, which says what to do.

    Args:
        dataset_name: of the data set that the file belongs to; "": unknown.
    """
    is_builtin = any(dataset_name in splits for splits in _BUILTIN_SPLITS)
    if is_builtin or dataset_name.startswith("cityscapes_fine_"):
        return _HOW_TO_GET
    if dataset_name:
        return (
            f"; the path is the one that {dataset_name!r} was registered with: correct it there, "
            "or put the file in its place."
        )
    return "; give the path of an existing file."


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Stop garbage collection while parsing, which makes millions of objects but no garbage.

    The collector would take a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse(
    path: Path,
    dataset_name: str,
    hook: Callable[[Record], Record] | None,
    needs_annotations: bool = False,
) -> Record:
    owner = f" of dataset {dataset_name!r}" if dataset_name else ""
    if not path.is_file():
        raise FileNotFoundError(
            f"The annotation file{owner} does not exist: {path}{how_to_get(dataset_name)}"
        )
    try:
        with path.open(encoding="utf-8") as file, paused_garbage_collection():
            content = json.load(file, object_hook=hook)
    except OSError as error:
        raise ValueError(f"The annotation file{owner} can't be read ({error}).") from error
    except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeDecodeError
        raise ValueError(
            f"The annotation file{owner} is not valid JSON ({error}): {path} "
            f"({path.stat().st_size} bytes) is cut short or damaged; download or generate it again."
        ) from error
    if isinstance(content, dict) and not needs_annotations:
        content.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(
                f"The annotation file{owner} has no list {key!r}: {path}; rankdet reads the "
                f'format of LVIS and COCO, in which an empty one is "{key}": [].'
            )
    return dict(content)


def _without_mask(record: Record) -> Record:
    # Without an area it follows from the mask, for which the image must be known.
    if "segmentation" in record and record.get("area") is not None:
        del record["segmentation"]
    return record


def _with_judged_mask(record: Record) -> Record:
    if "segmentation" in record:
        record["segmentation"] = judge_mask(record["segmentation"])
    return record


def _complete(content: Record, path: str, masks: bool) -> None:
    sizes = {i["id"]: (i.get("height"), i.get("width")) for i in content["images"]}
    for one in content["annotations"]:
        if "segmentation" in one:
            kind = check_mask(one, sizes[one["image_id"]], path).kind
            if kind in ("partly", "invalid", "none"):
                one["segmentation"] = valid_polygons(one["segmentation"])
        if one.get("area") is None:
            one["area"] = _area(one, sizes[one["image_id"]])
        if not masks:
            one.pop("segmentation", None)


def _area(annotation: Record, size: tuple[Any, Any]) -> float:
    mask = annotation.get("segmentation")
    # Without its size the image can't cut off what of the polygons lies outside.
    if mask and (isinstance(mask, dict) or all(type(side) is int for side in size)):
        area = mask_area(mask, size)
        if area > 0:
            return area
    return float(annotation["bbox"][2] * annotation["bbox"][3])
