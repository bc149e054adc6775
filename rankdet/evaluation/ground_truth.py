"""Reads the annotations of a registered data set, from its file or its function."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict

from rankdet.data.annotation_file import Record, lacks_negatives, read_annotations
from rankdet.data.class_names import read_class_names
from rankdet.data.dataset_warnings import negatives_warning
from rankdet.data.masks import valid_polygons
from rankdet.data.registered import annotation_path, ensure_dataset, load_dicts
from rankdet.evaluation.annotations import (
    GEOMETRY_FIELD,
    check_lvis_fields,
    judged_annotations,
    without_geometry,
)

logger = logging.getLogger(__name__)


def read_ground_truth(name: str, *, masks: bool = True) -> Record:
    """Read the annotations of a data set in the format of COCO or LVIS.

    A data set that has no annotation file is converted by Detectron2 from what its function gives.

    Args:
        name: a registered data set.
        masks: if False, the ``segmentation`` of annotations may be left out, which saves memory.

    Returns:
        A parsed annotation file. The test file of a challenge has no annotations.

    Raises:
        ValueError: the data set is not registered, its annotations are damaged, there are no
            images or categories, or one lacks a field (see
            :func:`rankdet.evaluation.annotations.check_lvis_fields`).
        FileNotFoundError: a file is missing.
    """
    path = annotation_path(ensure_dataset(name))
    if path is None:
        content = _converted(name)
    else:
        content = read_annotations(path, dataset_name=name, masks=masks)
    for kind in ("images", "categories"):
        if not content[kind]:
            raise ValueError(
                f"Dataset {name!r} lists no {kind}, so there is nothing to evaluate; give one "
                "that does."
            )
    check_lvis_fields(content)
    return content


def check_tasks(content: Record, tasks: Sequence[str] | None, name: str) -> None:
    """Warn, before any inference, of annotations that can't be judged.

    Args:
        content: from :func:`read_ground_truth`.
        tasks: those that the user asks for; None: boxes, and masks where there are any.
        name: of the data set, for the messages.

    Raises:
        ValueError: one of these tasks can't be judged at all.
    """
    for task in tasks or ():
        judged_annotations(content, task)
    annotations = content["annotations"]
    if lacks_negatives(content):
        logger.warning("%s.", negatives_warning(name))
    if not annotations:
        logger.warning(
            "Dataset %r has no annotations: predictions are written, but nothing can be scored.",
            name,
        )
    elif all(one.get("iscrowd") for one in annotations):
        logger.warning(
            "All %d annotations of dataset %r are crowds (iscrowd): there is no object to be "
            "found, and every metric is nan.",
            len(annotations),
            name,
        )
    if tasks is None or any(GEOMETRY_FIELD[task] == "segmentation" for task in tasks):
        _say_which_lack_masks(content, name)


def possible_tasks(content: Record, predicts_masks: bool, name: str) -> tuple[str, ...]:
    """Choose boxes, and masks where both the model and the annotations have them.

    Args:
        content: from :func:`read_ground_truth`.
        predicts_masks: whether the model does.
        name: of the data set, for the message.
    """
    if not predicts_masks:
        return ("bbox",)
    if any(annotation.get("segmentation") for annotation in content["annotations"]):
        return ("bbox", "segm")
    logger.warning(
        "The model predicts masks, but no annotation of dataset %r has one: only boxes are scored.",
        name,
    )
    return ("bbox",)


def _say_which_lack_masks(content: Record, name: str) -> None:
    annotations = content["annotations"]
    lacking = without_geometry(annotations, "segmentation")
    if 0 < len(lacking) < len(annotations):
        judged_annotations(content, "segm")  # Raises where the size of an image is unknown.
        logger.warning(
            "%d of %d annotations of dataset %r have no mask, the first is annotation %s: boxes "
            "are scored; for masks these objects are crowds, so that a mask on one is neither "
            "right nor wrong.",
            len(lacking),
            len(annotations),
            name,
            lacking[0]["id"],
        )


def _converted(name: str) -> Record:
    dicts, class_names = load_dicts(name), read_class_names(name)
    try:
        dicts = [_with_valid_polygons(record) for record in dicts]
        with _registered_as_well(name, dicts, class_names) as copy:
            content: Record = convert_to_coco_dict(copy)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError) as error:
        raise ValueError(
            f"Dataset {name!r} has no annotation file, and what its function gives can't be "
            f"converted to COCO's format ({type(error).__name__}: {error}); give dicts as "
            "Detectron2's documentation of standard datasets describes them, or set json_file of "
            "its metadata."
        ) from error
    return content


@contextmanager
def _registered_as_well(name: str, dicts: list[Record], class_names: list[str]) -> Iterator[str]:
    """Register loaded dicts under another name: Detectron2's converter takes names only."""
    copy = f"{name}, converted"
    ids = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id")
    DatasetCatalog.register(copy, lambda: dicts)
    MetadataCatalog.get(copy).set(
        thing_classes=class_names,
        **({} if ids is None else {"thing_dataset_id_to_contiguous_id": ids}),
    )
    try:
        yield copy
    finally:
        DatasetCatalog.remove(copy)
        MetadataCatalog.remove(copy)


def _with_valid_polygons(record: Record) -> Record:
    """Copy a record, without the parts that Detectron2's converter refuses or changes in place."""
    annotations = [_with_valid_mask(one) for one in record.get("annotations", [])]
    image_id = record.get("image_id")
    ids = {"image_id": image_id.item()} if isinstance(image_id, np.generic) else {}
    return {**record, **ids, "annotations": annotations}


def _with_valid_mask(annotation: Record) -> Record:
    kept = {key: value for key, value in annotation.items() if key != "keypoints"}
    mask: Any = kept.get("segmentation")
    if isinstance(mask, list):
        mask = [np.asarray(polygon).tolist() for polygon in valid_polygons(mask)]
        kept["segmentation"] = mask
    if mask is None or (isinstance(mask, list | dict) and not mask):
        kept.pop("segmentation", None)  # The area is that of the box.
    return kept
