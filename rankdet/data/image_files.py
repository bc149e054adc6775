"""Checks that image files exist, are complete, and have the size that the annotations say."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data.detection_utils import read_image
from detectron2.utils.file_io import PathManager
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base
from tqdm import tqdm

from rankdet.data.annotation_checks import Record
from rankdet.data.disk_cache import cache_file, read_cache, version_of, write_cache
from rankdet.data.registered import annotation_path, ensure_dataset, load_dicts

# Opening a file on a network waits most of the time.
_THREADS = 32
_MAX_NAMED = 3
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


class ImageDefects(NamedTuple):
    """Defects of the images of a data set; each entry names its file."""

    bad: list[str]
    """Images that end a training or an evaluation."""
    deep: list[str]
    """Images of more than 8 bits per channel, in which Detectron2 makes all above 255 white."""


def check_images(
    name: str, *, dicts: list[Record] | None = None, decode: bool = False
) -> ImageDefects:
    """Open all images of a data set, and compare their sizes with the annotations.

    Only headers are read, by many threads: about 3,000 images per second from a local disk, so that
    LVIS takes half a minute. A success is noted in ``$RANKDET_CACHE``, and the check is repeated
    only when the annotation file, or a folder of its images, has changed. From a slow network disk
    it can take many minutes; ``RANKDET_CHECK_IMAGES=0`` in the environment skips it.

    Args:
        name: a registered data set.
        dicts: the dicts of the data set, if the caller has them already.
        decode: read all pixels, too, even after an earlier success. Only this finds files that
            were cut off.

    Returns:
        The defects. Their list of bad images is empty.

    Raises:
        ValueError: an image is missing, is no image, can't be read, is too big for PIL, or has
            another size than the annotations say (after its EXIF orientation, as Detectron2
            compares). One sentence names the first few and the number of all.
        FileNotFoundError: a file of the annotations is missing.
    """
    if not decode and os.environ.get("RANKDET_CHECK_IMAGES") == "0":
        return ImageDefects([], [])
    path = annotation_path(ensure_dataset(name))
    records = load_dicts(name) if dicts is None and path is None else dicts
    kept_in = cache_file("images", _key(name, path, records))
    noted = read_cache(kept_in)
    if not decode and _is_valid(noted):
        return ImageDefects([], noted["deep"])
    records = load_dicts(name) if records is None else records
    defects = image_defects(records, name, decode=decode)
    if defects.bad:
        named = "; ".join(defects.bad[:_MAX_NAMED])
        raise ValueError(
            f"{len(defects.bad)} of the {len(records)} images of dataset {name!r} can't be used: "
            f"{named}{'; ...' if len(defects.bad) > _MAX_NAMED else ''}. Mend or remove them; "
            f"`python -m rankdet.tools.dataset check {name}` looks at them again."
        )
    write_cache(kept_in, {"deep": defects.deep, "folders": _folder_times(records)})
    return defects


def image_defects(records: list[Record], name: str, *, decode: bool = False) -> ImageDefects:
    """Look at the images of these records.

    Args:
        records: dicts in Detectron2's format.
        name: of their data set, for the progress bar.
        decode: read all pixels, too.
    """
    look = partial(_look_at, decode=decode)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(
            tqdm(
                pool.map(look, records),
                f"Checking images of {name}",
                total=len(records),
                unit="image",
                leave=False,
            )
        )
    return ImageDefects(
        [problem for problem, usable in found if problem and not usable],
        [problem for problem, usable in found if usable],
    )


def is_deep(mode: str) -> bool:
    """Whether a mode of Pillow has one channel of more than 8 bits."""
    return mode in ("I", "F") or mode.startswith("I;")


def _look_at(record: Record, decode: bool) -> tuple[str, bool]:
    """A sentence about an image, "" for a good one; and whether it is only too deep."""
    file = record["file_name"]
    try:
        with PathManager.open(file, "rb") as opened, Image.open(opened) as image:
            size, mode = _oriented_size(image), image.mode
        if decode:
            read_image(file, "RGB")
    except FileNotFoundError:
        return f"{file} does not exist", False
    # Decoders raise errors of all kinds on damaged files.
    except Exception as error:
        return f"{file} can't be read ({_reason(error, file)})", False
    expected = (record["width"], record["height"])
    if size != expected:
        return f"{file} has {size[0]} x {size[1]} pixels, not {expected[0]} x {expected[1]}", False
    return (f"{file} (mode {mode})", True) if is_deep(mode) else ("", False)


def _reason(error: Exception, file: str) -> str:
    if PathManager.isfile(file) and Path(file).is_file() and Path(file).stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is no image, or its beginning is damaged"
    return str(error) or type(error).__name__


def _oriented_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    try:
        # PNG's own method would decode the image.
        orientation = Image.Image.getexif(image).get(Base.Orientation)
    except Exception:  # Damaged EXIF of all kinds, which Detectron2 ignores, too.
        orientation = None
    return (height, width) if orientation in _TURNED else (width, height)


def _key(name: str, path: Path | None, records: list[Record] | None) -> str:
    # Paths of images can be relative.
    place = os.getcwd()
    if path is not None:
        return f"{name} {place} {version_of(path)} {ensure_dataset(name).get('image_root')}"
    files = [(one["file_name"], one["height"], one["width"]) for one in records or []]
    return f"{name} {place} {files}"


def _folder_times(records: list[Record]) -> dict[str, int]:
    """When files were last added to or removed from the folders of the images."""
    folders = {str(Path(record["file_name"]).parent) for record in records}
    return {folder: os.stat(folder).st_mtime_ns for folder in folders if os.path.isdir(folder)}


def _is_valid(noted: Any) -> bool:
    try:
        times = noted["folders"].items()
        is_whole = isinstance(noted["deep"], list)
        return is_whole and all(os.stat(folder).st_mtime_ns == time for folder, time in times)
    except (OSError, TypeError, KeyError, AttributeError):
        return False
