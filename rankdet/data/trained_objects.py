"""Finds the annotated objects that Detectron2's readers and its mapper leave out of training."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rankdet.data.annotation_checks import FloatArray, Int64Array

# [number, id of the first], in lists, as JSON keeps them.
Found = dict[str, list[Any]]

MIN_SIDE = 1e-5  # pixels; Detectron2's filter_empty_instances drops smaller boxes
CROWD = "groups of objects (iscrowd)"
NO_POLYGON = "without a polygon of at least 3 points"
NO_SIZE = "with a box of width or height 0"
OUTSIDE = "with a box outside of the image"


@dataclass(frozen=True)
class Objects:
    """The N annotations of a data set, by columns.

    Attributes:
        ids: of the annotations, or other descriptions of them.
        images: ``(N,)`` number of the image.
        classes: ``(N,)`` number of the class, from 0.
        boxes: ``(N, 4)`` left, top, right, bottom in pixels.
        sizes: ``(N, 2)`` width and height of the image.
        is_crowd: ``(N,)``, all False where Detectron2's reader does not know crowds.
        masks: what each mask is, see :data:`rankdet.data.masks.MaskKind`.
        drops_polygons: whether the reader drops objects all of whose polygons are invalid, whether
            masks are trained on or not, as that of COCO files does.
    """

    ids: list[Any]
    images: Int64Array
    classes: Int64Array
    boxes: FloatArray
    sizes: FloatArray
    is_crowd: npt.NDArray[np.bool_]
    masks: list[str]
    drops_polygons: bool


def left_out(objects: Objects) -> npt.NDArray[np.str_]:
    """Give the reason why each object is left out; "": it is trained on.

    Detectron2's mapper leaves out crowds and, after augmentation, objects whose box has no area
    within the image. Random crops drop more objects, others each time; these are not counted.

    Args:
        objects: N annotations.

    Returns:
        ``(N,)``, one of the reasons above.
    """
    # As the mapper does, in single precision.
    edges = objects.boxes.astype(np.float32)
    limits = np.concatenate([objects.sizes, objects.sizes], axis=1).astype(np.float32)
    inside = np.clip(edges, 0, limits)
    is_flat = (edges[:, 2:] - edges[:, :2] <= MIN_SIDE).any(axis=1)
    is_outside = (inside[:, 2:] - inside[:, :2] <= MIN_SIDE).any(axis=1)
    has_no_polygon = np.array(objects.masks, np.str_) == "invalid"
    reasons = [CROWD, NO_POLYGON, NO_SIZE, OUTSIDE]
    conditions = [objects.is_crowd, has_no_polygon & objects.drops_polygons, is_flat, is_outside]
    return np.select(conditions, [np.array(reason) for reason in reasons], np.array(""))


class Trained(NamedTuple):
    """Counts of what a data set gives to training."""

    images: list[int]
    """Number of images that show each class."""
    instances: list[int]
    """Number of instances of each class that are trained on."""
    left_out: Found
    """By reason: annotations that are not trained on."""
    masks: Found
    """By kind: masks that reach the mapper."""


def trained(objects: Objects, num_classes: int) -> Trained:
    """Count the objects that are trained on, and those that are left out.

    Args:
        objects: N annotations.
        num_classes: C.
    """
    reasons = left_out(objects)
    chosen = np.flatnonzero(reasons == "")
    masks = np.array(objects.masks, np.str_)
    if not objects.drops_polygons:
        # One bad polygon is enough for Detectron2's mapper to fail.
        masks = np.where(masks == "partly", "invalid", masks)
    # The mapper collects the masks before it leaves out boxes without area.
    masks = np.where(np.isin(reasons, [CROWD, NO_POLYGON]), "", masks)
    return Trained(
        *count_pairs(objects.images[chosen], objects.classes[chosen], num_classes),
        found(reasons, objects.ids),
        found(masks, objects.ids),
    )


def found(labels: npt.NDArray[np.str_], ids: list[Any]) -> Found:
    """Number and first id of each label except ""."""
    values, first, numbers = np.unique(labels, return_index=True, return_counts=True)
    return {
        str(value): [int(number), ids[index]]
        for value, index, number in zip(values, first, numbers, strict=True)
        if value
    }


def count_pairs(
    images: Int64Array, classes: Int64Array, num_classes: int
) -> tuple[list[int], list[int]]:
    """Images and instances of each class.

    Args:
        images: ``(N,)``, of each object.
        classes: ``(N,)``, of each object, from 0.
        num_classes: C.

    Returns:
        Two lists of C numbers.
    """
    # One (image, class) pair per row: image numbers may be large, so they are not packed.
    order = np.lexsort((classes, images))
    images, ordered = images[order], classes[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (images[1:] != images[:-1]) | (ordered[1:] != ordered[:-1])
    return (
        np.bincount(ordered[is_first], minlength=num_classes).tolist(),
        np.bincount(classes, minlength=num_classes).tolist(),
    )
