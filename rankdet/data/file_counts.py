"""Counts per category of one annotation file, kept on disk until the file changes."""

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rankdet.data.annotation_file import Record, column, image_ids, read_annotations

logger = logging.getLogger(__name__)

# Part of the cache key: raise it when the content of the cache files changes.
CACHE_VERSION = 1


class FileCounts(NamedTuple):
    """What an annotation file holds of each of its categories; all lists have equal length."""

    category_ids: list[int]
    names: list[str]
    images: list[int]
    instances: list[int]


def file_counts(path: Path, *, dataset_name: str = "") -> FileCounts:
    """Count the images and instances of each category in an annotation file, crowds left out.

    The result is kept in `$RANKDET_CACHE` (default `~/.cache/rankdet`) under a key of the file's
    path, size and modification time, so that a second call need not read the file.

    Args:
        path: JSON file in the format of LVIS or COCO.
        dataset_name: The dataset that the file belongs to, for the messages.

    Returns:
        The counts, in the order of the file's category ids.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged; see `read_annotations`.
    """
    cache_file = _cache_file(path)
    cached = _read_cache(cache_file) if cache_file else None
    if cached is not None:
        return cached
    content = read_annotations(path, dataset_name=dataset_name, masks=False)
    counts = _count(content, str(path))
    if cache_file:
        _write_cache(cache_file, counts)
    return counts


def _count(content: Record, path: str) -> FileCounts:
    categories = sorted(content["categories"], key=lambda category: int(category["id"]))
    category_ids = column(categories, "id", f"categories of {path}")
    annotations = [a for a in content["annotations"] if not a.get("iscrowd", 0)]
    where = f"annotations of {path}"
    classes = np.searchsorted(category_ids, column(annotations, "category_id", where))
    images = image_ids(annotations, "image_id", where)
    # One (image, class) pair per row: image ids may be large, so they are not packed into one int.
    order = np.lexsort((classes, images))
    images, classes = images[order], classes[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (images[1:] != images[:-1]) | (classes[1:] != classes[:-1])
    return FileCounts(
        category_ids.tolist(),
        [str(category.get("name", category["id"])) for category in categories],
        np.bincount(classes[is_first], minlength=len(categories)).tolist(),
        np.bincount(classes, minlength=len(categories)).tolist(),
    )


def _cache_file(path: Path) -> Path | None:
    """Where the counts of this state of the file are kept; None if there is no file."""
    if not path.is_file():
        return None
    state = path.stat()
    key = f"{CACHE_VERSION} {path.resolve()} {state.st_size} {state.st_mtime_ns}"
    folder = Path(os.environ.get("RANKDET_CACHE") or Path.home() / ".cache" / "rankdet")
    return folder / f"class_counts_{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def _read_cache(cache_file: Path) -> FileCounts | None:
    """The kept counts, or None if there are none or the file is not intact."""
    try:
        counts = FileCounts(**json.loads(cache_file.read_text(encoding="utf-8")))
        lengths = {len(values) for values in counts}
    except (OSError, ValueError, TypeError):
        return None
    return counts if len(lengths) == 1 else None


def _write_cache(cache_file: Path, counts: FileCounts) -> None:
    """Write at once or not at all, so that parallel processes never read half a file."""
    folder = cache_file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder of its own takes the file with it where writing fails.
        with tempfile.TemporaryDirectory(prefix="writing-", dir=folder) as own_folder:
            partial_file = Path(own_folder) / cache_file.name
            partial_file.write_text(json.dumps(counts._asdict()), encoding="utf-8")
            partial_file.replace(cache_file)
    except OSError as error:
        logger.warning("The class counts can't be kept in %s: %s", folder, error)
