"""How often each class occurs in a registered dataset, as long-tail losses need to know."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.utils.logger import log_first_n
from torch import Tensor

from rankdet.data.annotation_checks import Record
from rankdet.data.dataset_dicts import count_dicts
from rankdet.data.dataset_warnings import empty_classes_warning, left_out_warning
from rankdet.data.file_counts import FileCounts, file_counts
from rankdet.data.registered import (
    annotation_path,
    class_ids,
    ensure_dataset,
    load_dicts,
    named_classes,
    reader_of,
)
from rankdet.data.trained_objects import Found


class ClassCounts(NamedTuple):
    """Occurrences of each of the C classes, by contiguous class id."""

    images: Tensor
    """int64, ``(C,)`` images with at least one instance of the class."""
    instances: Tensor
    """int64, ``(C,)`` instances of the class."""


class DatasetCounts(NamedTuple):
    """What a data set gives to training."""

    counts: ClassCounts
    class_names: list[str]
    """Of the C classes, by contiguous class id."""
    left_out: Found
    """By reason: the number of annotations that are not trained on, and what names the first."""
    masks: Found
    """By kind: the number of masks that reach the mapper, and what names the first."""
    lacks_negatives: bool
    """See :func:`rankdet.data.annotation_file.lacks_negatives`."""


def class_counts(dataset_names: str | Iterable[str]) -> ClassCounts:
    """Count the images and instances of each class in registered datasets.

    Datasets with an annotation file (LVIS, COCO, glyphs) are counted from that file, and the
    result is kept on disk until the file changes. Others are counted from the dicts of their
    ``DatasetCatalog`` function. Only what Detectron2 trains on is counted (see
    :func:`rankdet.data.file_counts.file_counts`). One warning names the annotations that a defect
    leaves out, another one the classes without an instance.

    Args:
        dataset_names: a dataset or several over the same classes, whose counts are added.

    Returns:
        The counts, by the contiguous class ids that Detectron2's loaders give.

    Raises:
        ValueError: a dataset is not registered, its classes are unknown or differ from those of
            the others, or its annotations are damaged.
        FileNotFoundError: the annotation file is missing.
    """
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    if not names:
        raise ValueError("dataset_names is empty; give at least one registered dataset.")
    return add_counts({name: dataset_counts(name) for name in names}, names)


def add_counts(counted: dict[str, DatasetCounts], names: list[str]) -> ClassCounts:
    """Add the counts of data sets, with the warnings of :func:`class_counts`.

    Args:
        counted: of data sets, by name.
        names: which to add; a name can repeat.

    Raises:
        ValueError: their classes differ.
    """
    first = counted[names[0]]
    counts = first.counts
    for name in names[1:]:
        more = counted[name]
        check_same_classes(names[0], first.class_names, name, more.class_names)
        counts = ClassCounts(*(a + b for a, b in zip(counts, more.counts, strict=True)))
    for name in dict.fromkeys(names):
        one = counted[name]
        _warn(left_out_warning(name, one.left_out, int(one.counts.instances.sum())))
    instances = counts.instances.tolist()
    _warn(empty_classes_warning(instances, first.class_names, "training instance"))
    return counts


def dataset_counts(name: str, dicts: list[Record] | None = None) -> DatasetCounts:
    """Count the classes, the annotations that are left out, and the masks of one data set.

    Args:
        name: a registered data set.
        dicts: the result of :func:`load_dicts`, if the caller has it already. Only a data set
            without an annotation file needs it.

    Raises:
        ValueError: see :func:`class_counts`.
        FileNotFoundError: a file is missing.
    """
    metadata = ensure_dataset(name)
    path = annotation_path(metadata)
    if path is not None:
        in_file = file_counts(path, dataset_name=name, reader=reader_of(metadata))
        return _by_class_id(in_file, metadata)
    dicts = load_dicts(name) if dicts is None else dicts
    class_names = named_classes(metadata)
    if class_names is None:
        raise ValueError(
            f"The classes of dataset {name!r} are unknown; set "
            f"MetadataCatalog.get({name!r}).thing_classes to the list of their names."
        )
    found = count_dicts(dicts, len(class_names))
    counts = ClassCounts(torch.tensor(found.images), torch.tensor(found.instances))
    return DatasetCounts(counts, class_names, found.left_out, found.masks, False)


def check_same_classes(
    name: str, class_names: list[str], other: str, other_names: list[str]
) -> None:
    """Check that two data sets have the same classes, so that an id means the same in both.

    Args:
        name: the first data set.
        class_names: its classes, by contiguous class id.
        other: the second one.
        other_names: its classes.

    Raises:
        ValueError: they differ in number, names or order.
    """
    if len(class_names) != len(other_names):
        raise ValueError(
            f"The datasets {name!r} ({len(class_names)} classes) and {other!r} "
            f"({len(other_names)} classes) have different classes; give data sets with the same "
            "classes."
        )
    differing = [
        i for i, pair in enumerate(zip(class_names, other_names, strict=True)) if pair[0] != pair[1]
    ]
    if differing:
        first = differing[0]
        order = "order" if sorted(class_names) == sorted(other_names) else "names"
        raise ValueError(
            f"The datasets {name!r} and {other!r} have different {order} of classes: class {first} "
            f"is {class_names[first]!r} in the first and {other_names[first]!r} in the second "
            f"({len(differing)} differ), so that one would be scored as the other; give the "
            "categories of both annotation files the same ids and names."
        )


def instance_counts(dataset_names: str | Iterable[str]) -> Tensor:
    """Count the instances of each class: ``class_counts(dataset_names).instances``, for configs."""
    return class_counts(dataset_names).instances


def image_counts(dataset_names: str | Iterable[str]) -> Tensor:
    """Count the images of each class: ``class_counts(dataset_names).images``, for configs."""
    return class_counts(dataset_names).images


def _by_class_id(counts: FileCounts, metadata: Any) -> DatasetCounts:
    by_category = class_ids(metadata, counts.category_ids)
    class_names = named_classes(metadata) or counts.names
    totals = np.zeros((2, len(class_names)), np.int64)
    for category_id, images, instances in zip(
        counts.category_ids, counts.images, counts.instances, strict=True
    ):
        class_id = by_category.get(category_id, -1)
        if 0 <= class_id < len(class_names):
            totals[:, class_id] = images, instances
        elif instances:
            raise ValueError(
                f"Category {category_id} of dataset {metadata.name!r} is none of its "
                f"{len(class_names)} classes, but has {instances} instances; the dataset's "
                "metadata and annotation file do not belong together."
            )
    _check_names(counts, by_category, class_names, metadata)
    return DatasetCounts(ClassCounts(*torch.from_numpy(totals)), class_names, *counts[4:])


def _check_names(
    counts: FileCounts, by_category: dict[int, int], class_names: list[str], metadata: Any
) -> None:
    """Compare those of file and metadata; for LVIS Detectron2 takes synonyms, which may differ."""
    if reader_of(metadata) != "coco":
        return
    by_class = dict(enumerate(class_names))
    for category_id, name in zip(counts.category_ids, counts.names, strict=True):
        known = by_class.get(by_category.get(category_id, -1), name)
        if known != name:
            raise ValueError(
                f"Category {category_id} of dataset {metadata.name!r} is {name!r} in its "
                f"annotation file, but {known!r} in thing_classes of its metadata; mend the "
                "wrong one."
            )


def _warn(text: str) -> None:
    if text:
        log_first_n(logging.WARNING, text, key="message")
