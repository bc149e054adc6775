"""Counts of what one annotation file gives to training; kept on disk until the file changes."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from rankdet.data.annotation_checks import Record, boxes, check_mask, column
from rankdet.data.annotation_file import (
    lacks_negatives,
    paused_garbage_collection,
    read_with_judged_masks,
)
from rankdet.data.disk_cache import cache_file, read_cache, version_of, write_cache
from rankdet.data.trained_objects import Found, Objects, trained

Reader = Literal["coco", "lvis", "other"]
"""What reads a file: Detectron2's ``load_coco_json``, its ``load_lvis_json``, or a user's code."""


class FileCounts(NamedTuple):
    """Counts by category, in four lists of equal length, and what is odd about the file."""

    category_ids: list[int]
    names: list[str]
    images: list[int]
    """Number of images that show the category."""
    instances: list[int]
    """Number of instances that are trained on."""
    left_out: Found
    """By reason: the number of annotations that are not trained on, and the id of the first."""
    masks: Found
    """By kind: the number of masks that reach the mapper, and the id of the first object."""
    lacks_negatives: bool
    """See :func:`rankdet.data.annotation_file.lacks_negatives`."""


def file_counts(path: Path, *, dataset_name: str = "", reader: Reader = "other") -> FileCounts:
    """Count the images and instances of each category in an annotation file.

    Only what Detectron2 trains on is counted. Its reader of COCO files drops objects whose polygons
    are all invalid (an odd number of coordinates or fewer than six), for box detectors, too; its
    mapper drops crowds, and boxes without area in the image. Its reader of LVIS files does not know
    crowds, and trains on them as on single objects. Detectors of boxes and of masks train on the
    same objects: one of masks is refused where a mask is missing or empty.

    The result is kept in ``$RANKDET_CACHE`` (default ``~/.cache/rankdet``) under a key of the path,
    size and modification time of the file, so that a second call need not read the file.

    Args:
        path: JSON file in the format of LVIS or COCO.
        dataset_name: the dataset that the file belongs to, for the messages.
        reader: what reads the file in training. Detectron2's readers need more fields than a
            user's function, and this function checks them.

    Returns:
        The counts, in the order of the file's category ids.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged (see ``read_annotations``), or the reader would stumble over
            it: an image without size or file name, a category without name, for LVIS a mask that
            does not consist of valid polygons.
    """
    if not path.is_file():
        read_with_judged_masks(path, dataset_name=dataset_name)  # says what is wrong with it
    kept_in = cache_file("class_counts", f"{reader} {version_of(path)}")
    cached = _restored(read_cache(kept_in))
    if cached is not None:
        return cached
    with paused_garbage_collection():
        content = read_with_judged_masks(
            path, dataset_name=dataset_name, needs_annotations=reader == "lvis"
        )
        _check_readable(content, reader, str(path))
        counts = _count(content, str(path), reader)
    write_cache(kept_in, counts._asdict())
    return counts


def _restored(kept: Any) -> FileCounts | None:
    """The kept counts, or None where they are not intact."""
    try:
        counts = FileCounts(**kept)
        lengths = {len(values) for values in counts[:4]}
    except TypeError:
        return None
    return counts if len(lengths) == 1 else None


def _check_readable(content: Record, reader: Reader, path: str) -> None:
    """Refuse what Detectron2's reader would end in a traceback on."""
    if not content["categories"]:
        raise ValueError(f"{path} lists no categories; there is nothing to detect.")
    sizes = {i["id"]: (i.get("height"), i.get("width")) for i in content["images"]}
    kinds = [check_mask(one, sizes[one["image_id"]], path).kind for one in content["annotations"]]
    if reader == "other":
        return
    for image in content["images"]:
        _check_image(image, reader, path)
    for category in content["categories"]:
        if not isinstance(category.get("name"), str):
            raise ValueError(
                f"Category {category['id']} of {path} has {category.get('name')!r} as 'name'; "
                "every category needs a name, a string."
            )
    for one, kind in zip(content["annotations"], kinds, strict=True):
        if reader == "coco":
            _check_coco_fields(one, path)
        elif kind != "polygons":
            raise ValueError(
                f"The mask ('segmentation') of annotation {one['id']} of {path} is "
                f"{_LVIS_PROBLEMS[kind]}; Detectron2's reader of LVIS files takes only polygons of "
                "at least 3 points: mend it, or register the file by register_coco_instances."
            )


_LVIS_PROBLEMS = {
    "none": "missing",
    "rle": "given as run lengths (RLE)",
    "empty": "given as run lengths (RLE)",
    "invalid": "a polygon with an odd number of coordinates or fewer than 6",
    "partly": "in part a polygon with an odd number of coordinates or fewer than 6",
}


def _check_image(image: Record, reader: Reader, path: str) -> None:
    for key in ("height", "width"):
        if key not in image:
            raise ValueError(
                f"Image {image['id']} of {path} has no {key!r}; every image needs its height and "
                "width in pixels."
            )
    key = "coco_url" if reader == "lvis" else "file_name"
    name = image.get(key)
    if not isinstance(name, str) or (reader == "lvis" and "/" not in name):
        raise ValueError(
            f"Image {image['id']} of {path} has {name!r} as {key!r}; it must be the path of the "
            "image, for LVIS at least FOLDER/FILE."
        )


def _check_coco_fields(annotation: Record, path: str) -> None:
    """Check what the reader of COCO files looks at besides."""
    if annotation.get("ignore", 0) != 0:
        raise ValueError(
            f"Annotation {annotation['id']} of {path} has {annotation['ignore']!r} as 'ignore', "
            "which Detectron2 does not read; remove the key, or the annotation, or mark it as "
            "iscrowd."
        )
    points = annotation.get("keypoints")
    is_list = isinstance(points, list) and set(map(type, points)) <= {int, float}
    if points is not None and not (is_list and len(points) % 3 == 0):
        raise ValueError(
            f"Annotation {annotation['id']} of {path} has {points!r} as 'keypoints'; it must be a "
            "list of numbers, [x, y, visibility, x, y, visibility, ...]."
        )


def _count(content: Record, path: str, reader: Reader = "other") -> FileCounts:
    categories = sorted(content["categories"], key=lambda category: int(category["id"]))
    return FileCounts(
        [category["id"] for category in categories],
        [str(category.get("name", category["id"])) for category in categories],
        *trained(_objects(content, path, reader), len(categories)),
        lacks_negatives(content),
    )


def _objects(content: Record, path: str, reader: Reader) -> Objects:
    annotations, images = content["annotations"], content["images"]
    category_ids = np.sort(column(content["categories"], "id", f"categories of {path}"))
    numbers = {image["id"]: number for number, image in enumerate(images)}
    image_numbers = np.array([numbers[one["image_id"]] for one in annotations], np.int64)
    sides = [(i.get("width", np.inf), i.get("height", np.inf)) for i in images]
    sizes = np.array(sides, np.float64).reshape(-1, 2)
    edges = boxes(annotations, path).astype(np.float32)
    edges[:, 2:] += edges[:, :2]
    return Objects(
        ids=[one["id"] for one in annotations],
        images=image_numbers,
        classes=np.searchsorted(
            category_ids, column(annotations, "category_id", f"annotations of {path}")
        ),
        boxes=edges.astype(np.float64),
        sizes=sizes[image_numbers],
        is_crowd=np.array(
            [reader != "lvis" and bool(one.get("iscrowd", 0)) for one in annotations], bool
        ),
        masks=[
            one["segmentation"].kind if "segmentation" in one else "none" for one in annotations
        ],
        drops_polygons=True,
    )
