"""Data sets in Detectron2's catalogs: looking them up, reading them, and their class ids."""

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from rankdet.data.annotation_checks import Record
from rankdet.data.annotation_file import how_to_get
from rankdet.data.dataset_dicts import check_dicts
from rankdet.data.file_counts import Reader, file_counts


def ensure_dataset(name: str) -> Any:
    """Look up a registered dataset, and generate its files if it is able to.

    Args:
        name: a name in Detectron2's ``DatasetCatalog``.

    Returns:
        The dataset's Detectron2 ``Metadata``.

    Raises:
        ValueError: there is no dataset of this name.
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
        name: a registered dataset.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a package is missing, its annotation file is damaged, the reader does not find
            what it expects, or a user's function returns other than dicts in Detectron2's format.
    """
    metadata = ensure_dataset(name)
    path = annotation_path(metadata)
    if path is not None:
        file_counts(path, dataset_name=name, reader=reader_of(metadata))
    try:
        dicts: list[Record] = DatasetCatalog.get(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"A file of dataset {name!r} does not exist: {error.filename or error}"
            f"{how_to_get(name)}"
        ) from error
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Dataset {name!r} is read by the package {error.name!r}, which is not installed: run "
            f"`pip install {error.name}`."
        ) from error
    except (AssertionError, ValueError, KeyError) as error:
        raise ValueError(
            f"Dataset {name!r} can't be read: its reader stopped at {str(error)!r}; "
            f"{_remedy(error)}"
        ) from error
    if path is None:
        class_names = named_classes(metadata)
        check_dicts(dicts, None if class_names is None else len(class_names), name)
    return dicts


def reader_of(metadata: Any) -> Reader:
    """Tell which function reads the annotation file of a data set in training.

    Args:
        metadata: the dataset's Detectron2 ``Metadata``.
    """
    kind = metadata.get("evaluator_type")
    return kind if kind in ("coco", "lvis") else "other"


def named_classes(metadata: Any) -> list[str] | None:
    """Names of the classes in the metadata of a data set; None: there are none (yet).

    Args:
        metadata: the dataset's Detectron2 ``Metadata``.

    Raises:
        ValueError: the names are not a list of strings.
    """
    names = metadata.get("thing_classes")
    if names is None:
        return None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"thing_classes of dataset {metadata.name!r} is {names!r}; it must be a list of "
            "strings."
        )
    return list(names)


def annotation_path(metadata: Any) -> Path | None:
    """Path of the annotation file of a dataset on this machine; None: it has none.

    Args:
        metadata: the dataset's Detectron2 ``Metadata``.

    Raises:
        ValueError: it is a URL from which it can't be fetched.
    """
    json_file = metadata.get("json_file")
    try:
        return None if json_file is None else Path(PathManager.get_local_path(json_file))
    except OSError as error:
        raise ValueError(
            f"The annotation file {json_file} of dataset {metadata.name!r} can't be fetched "
            f"({error}); download it, and register the data set with its path."
        ) from error


def class_ids(metadata: Any, category_ids: Iterable[int]) -> dict[int, int]:
    """Contiguous class id of each category id, as Detectron2's loaders assign them.

    Args:
        metadata: the dataset's Detectron2 ``Metadata``.
        category_ids: the ids of all categories in its annotation file.
    """
    known: dict[int, int] | None = metadata.get("thing_dataset_id_to_contiguous_id")
    if known is not None:
        return known
    if metadata.get("evaluator_type") == "lvis":
        return {category_id: category_id - 1 for category_id in category_ids}
    return {category_id: i for i, category_id in enumerate(sorted(category_ids))}


def _remedy(error: Exception) -> str:
    if "No built-in metadata" in str(error):
        return (
            "register_lvis_instances takes the classes of LVIS v1 or v0.5 from the dataset's name; "
            "register classes of your own by register_coco_instances."
        )
    return "check the files of the data set."
