"""How often each class occurs in a registered dataset, as long-tail losses need to know."""

import difflib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n
from torch import Tensor

from rankdet.data.annotation_file import HOW_TO_GET, Record
from rankdet.data.file_counts import FileCounts, file_counts

MAX_NAMES_IN_WARNING = 20


class ClassCounts(NamedTuple):
    """Occurrences of each of the C classes, by contiguous class id."""

    images: Tensor
    """int64, (C,): images with at least one instance of the class."""
    instances: Tensor
    """int64, (C,): instances of the class."""


def class_counts(dataset_names: str | Iterable[str]) -> ClassCounts:
    """Count the images and instances of each class in registered datasets.

    Datasets with an annotation file (LVIS, COCO, glyphs) are counted from that file, and the
    result is kept on disk until the file changes; others are counted from the dicts of their
    `DatasetCatalog` function. Crowd annotations are not counted: Detectron2 does not train on
    them. Classes without an instance are named in one warning.

    Args:
        dataset_names: A dataset or several over the same classes, whose counts are added.

    Returns:
        The counts, by the contiguous class ids that Detectron2's loaders give.

    Raises:
        ValueError: A dataset is not registered, its classes are unknown or differ from those of
            the others, or its annotations are damaged.
        FileNotFoundError: The annotation file is missing.
    """
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    if not names:
        raise ValueError("dataset_names is empty; give at least one registered dataset.")
    counts, class_names = _dataset_counts(names[0])
    for name in names[1:]:
        more, other_names = _dataset_counts(name)
        if other_names != class_names:
            raise ValueError(
                f"The datasets {names[0]!r} ({len(class_names)} classes) and {name!r} "
                f"({len(other_names)} classes) have different classes, so their counts can't be "
                "added; train on datasets with the same classes."
            )
        counts = ClassCounts(counts.images + more.images, counts.instances + more.instances)
    _warn_of_empty_classes(counts.instances, class_names)
    return counts


def instance_counts(dataset_names: str | Iterable[str]) -> Tensor:
    """Count the instances of each class: `class_counts(dataset_names).instances`, for configs."""
    return class_counts(dataset_names).instances


def image_counts(dataset_names: str | Iterable[str]) -> Tensor:
    """Count the images of each class: `class_counts(dataset_names).images`, for configs."""
    return class_counts(dataset_names).images


def ensure_dataset(name: str) -> Any:
    """Look up a registered dataset and, where it can generate its files, have it do so.

    Args:
        name: A name in Detectron2's `DatasetCatalog`.

    Returns:
        The dataset's Detectron2 `Metadata`.

    Raises:
        ValueError: There is no dataset of this name.
    """
    if name not in DatasetCatalog:
        nearest = difflib.get_close_matches(name, DatasetCatalog.list(), n=3, cutoff=0.0)
        raise ValueError(
            f"Dataset {name!r} is not registered; the nearest names are {', '.join(nearest)}."
        )
    metadata = MetadataCatalog.get(name)
    ensure: Callable[[], object] | None = metadata.get("ensure")
    if ensure is not None:
        ensure()
    return metadata


def load_dicts(name: str) -> list[Record]:
    """Read a dataset by its own function, for instance Detectron2's reader of raw Cityscapes.

    Args:
        name: A registered dataset.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A package is missing, or the reader does not find what it expects.
    """
    try:
        dicts: list[Record] = DatasetCatalog.get(name)
        return dicts
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"A file of dataset {name!r} does not exist: {error.filename or error}; set "
            f"DETECTRON2_DATASETS to the folder that holds the data sets ({HOW_TO_GET})."
        ) from error
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Dataset {name!r} is read by the package {error.name!r}, which is not installed: run "
            f"`pip install {error.name}`."
        ) from error
    except AssertionError as error:
        raise ValueError(
            f"Dataset {name!r} is incomplete: its reader stopped at {str(error)!r}; check the "
            f"files of the data set ({HOW_TO_GET})."
        ) from error


def annotation_path(metadata: Any) -> Path | None:
    """Where the annotation file of a dataset lies on this machine; None: it has none.

    Args:
        metadata: The dataset's Detectron2 `Metadata`.
    """
    json_file = metadata.get("json_file")
    return None if json_file is None else Path(PathManager.get_local_path(json_file))


def class_ids(metadata: Any, category_ids: Iterable[int]) -> dict[int, int]:
    """Contiguous class id of each category id, as Detectron2's loaders assign them.

    Args:
        metadata: The dataset's Detectron2 `Metadata`.
        category_ids: The ids of all categories in its annotation file.
    """
    known: dict[int, int] | None = metadata.get("thing_dataset_id_to_contiguous_id")
    if known is not None:
        return known
    if metadata.get("evaluator_type") == "lvis":
        return {category_id: category_id - 1 for category_id in category_ids}
    return {category_id: i for i, category_id in enumerate(sorted(category_ids))}


def _dataset_counts(name: str) -> tuple[ClassCounts, list[str]]:
    metadata = ensure_dataset(name)
    path = annotation_path(metadata)
    if path is not None:
        return _counts_by_class_id(file_counts(path, dataset_name=name), metadata)
    dicts = load_dicts(name)
    class_names = metadata.get("thing_classes")
    if class_names is None:
        raise ValueError(
            f"The classes of dataset {name!r} are unknown; set "
            f"MetadataCatalog.get({name!r}).thing_classes to the list of their names."
        )
    return _counts_of_dicts(dicts, len(class_names), name), list(class_names)


def _counts_by_class_id(counts: FileCounts, metadata: Any) -> tuple[ClassCounts, list[str]]:
    by_category = class_ids(metadata, counts.category_ids)
    class_names = list(metadata.get("thing_classes") or counts.names)
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
    return ClassCounts(*torch.from_numpy(totals)), class_names


def _counts_of_dicts(dicts: list[Record], num_classes: int, name: str) -> ClassCounts:
    counts = torch.zeros(2, num_classes, dtype=torch.int64)
    for record in dicts:
        found = [a["category_id"] for a in record["annotations"] if not a.get("iscrowd", 0)]
        classes = torch.tensor(found, dtype=torch.int64)
        bad = classes[(classes < 0) | (classes >= num_classes)]
        if len(bad):
            raise ValueError(
                f"An annotation of {record['file_name']} in dataset {name!r} has category_id "
                f"{bad[0]}; it must lie in 0 .. {num_classes - 1}."
            )
        per_class = classes.bincount(minlength=num_classes)
        counts += torch.stack([per_class > 0, per_class])
    return ClassCounts(*counts)


def _warn_of_empty_classes(instances: Tensor, class_names: list[str]) -> None:
    empty = [class_names[i] for i in torch.nonzero(instances == 0).flatten().tolist()]
    if empty:
        listed = ", ".join(empty[:MAX_NAMES_IN_WARNING])
        more = len(empty) - MAX_NAMES_IN_WARNING
        log_first_n(
            logging.WARNING,
            f"{len(empty)} of {len(class_names)} classes have no training instance: {listed}"
            + (f" and {more} more" if more > 0 else ""),
            key="message",
        )
