"""Texts of the warnings about data sets that hold less than it seems; "": no warning."""

from collections.abc import Sequence

from rankdet.data.trained_objects import CROWD, Found

MAX_NAMES = 20


def left_out_warning(name: str, left_out: Found, num_trained: int) -> str:
    """Name the annotations that a defect keeps from training; crowds are no defect.

    Args:
        name: of the data set.
        left_out: by reason: the number of annotations, and the first one.
        num_trained: number of the annotations that are trained on.
    """
    defects = {why: found for why, found in left_out.items() if why != CROWD}
    if not defects:
        return ""
    number = sum(number for number, _ in defects.values())
    total = num_trained + sum(number for number, _ in left_out.values())
    listed = "; ".join(f"{n} {why}, the first is {one}" for why, (n, one) in defects.items())
    return (
        f"Dataset {name!r}: Detectron2 does not train on {number} of {total} annotations, and they "
        f"are not counted: {listed}"
    )


def empty_classes_warning(instances: Sequence[int], class_names: list[str], what: str) -> str:
    """Name the classes without an instance.

    Args:
        instances: of each class.
        class_names: of each class.
        what: "instance" or "training instance".
    """
    empty = [name for name, number in zip(class_names, instances, strict=True) if not number]
    if not empty:
        return ""
    more = len(empty) - MAX_NAMES
    return (
        f"{len(empty)} of {len(class_names)} classes have no {what}: {', '.join(empty[:MAX_NAMES])}"
        + (f" and {more} more" if more > 0 else "")
    )


def negatives_warning(name: str) -> str:
    """Explain a file of which :func:`rankdet.data.annotation_file.lacks_negatives` holds."""
    return (
        f"Dataset {name!r} is federated, but neg_category_ids of all its images are empty: a "
        "detection of a wrong class never counts, so confusions cost nothing and AP comes out far "
        "too high; list the classes that are known to be absent, or remove the key from all "
        "images, if every class is annotated in each"
    )


def deep_images_warning(name: str, deep: list[str]) -> str:
    """Name images of more than 8 bits per channel.

    Args:
        name: of the data set.
        deep: of :class:`rankdet.data.image_files.ImageDefects`.
    """
    if not deep:
        return ""
    return (
        f"{len(deep)} images of dataset {name!r} have more than 8 bits per channel, of which "
        f"Detectron2 makes all values above 255 white: {deep[0]}"
        f"{' and others' if len(deep) > 1 else ''}; convert them to 8 bits"
    )
