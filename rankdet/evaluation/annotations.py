"""Checks of the annotation fields that metrics need, and annotations as each task judges them."""

from rankdet.data.annotation_file import Record
from rankdet.data.frequency_groups import LABELS

FEDERATED_FIELDS = ("neg_category_ids", "not_exhaustive_category_ids")
GEOMETRY_FIELD = {"bbox": "bbox", "segm": "segmentation", "boundary": "segmentation"}


def is_federated(content: Record) -> bool:
    """True if an annotation file says, as LVIS does, for which classes an image was searched."""
    return any("neg_category_ids" in image for image in content["images"])


def check_lvis_fields(content: Record) -> None:
    """Check that the records of an annotation file have all fields that LVIS's metrics need.

    Every annotation needs an ``area``. If one image has ``neg_category_ids``, every image needs
    them, and ``not_exhaustive_category_ids``, too. If one category has a ``frequency``, every
    category needs LVIS's letter there.

    Args:
        content: a parsed annotation file.

    Raises:
        ValueError: a record lacks a field, or a frequency is no such letter.
    """
    has_frequency = any("frequency" in category for category in content["categories"])
    needed = [("annotations", "area")]
    if is_federated(content):
        needed += [("images", field) for field in FEDERATED_FIELDS]
    if has_frequency:
        needed += [("categories", "frequency")]
    for kind, field in needed:
        lacking = next((record for record in content[kind] if field not in record), None)
        if lacking is not None:
            raise ValueError(
                f"Entry {lacking['id']} of the {kind} has no {field!r}, which the LVIS metrics "
                "need; give it to all of them" + (", or to none." if field == "frequency" else ".")
            )
    for category in content["categories"] if has_frequency else ():
        if category["frequency"] not in LABELS:
            raise ValueError(
                f"Category {category['id']} has the frequency {category['frequency']!r}; give "
                "'r' (rare), 'c' (common) or 'f' (frequent) to all categories, or the field to "
                "none."
            )


def judged_annotations(content: Record, task: str) -> list[Record]:
    """Turn the annotations into those that a task judges.

    For masks, an annotation without a mask becomes a crowd that fills its box. The object is known
    to be there, but its outline is not, so a detection there is neither right nor wrong.

    Args:
        content: a parsed annotation file. It is not changed.
        task: "bbox", "segm" or "boundary".

    Returns:
        N records, in the order of the file.

    Raises:
        ValueError: no annotation has a mask, an annotation lacks its box, or the size of an image
            is unknown where masks are judged.
    """
    annotations: list[Record] = content["annotations"]
    field = GEOMETRY_FIELD[task]
    lacking = without_geometry(annotations, field)
    if not annotations or (field == "bbox" and not lacking):
        return annotations
    if field == "bbox" or len(lacking) == len(annotations):
        raise ValueError(
            f"Annotation {lacking[0]['id']} has no {field!r}, so that detections can't be judged "
            'by it; give it to all annotations, or leave the task out, as tasks=("bbox",) does '
            "masks."
        )
    _check_image_sizes(content["images"])
    ids = {one["id"] for one in lacking}
    return [_crowd_of_box(one) if one["id"] in ids else one for one in annotations]


def without_geometry(annotations: list[Record], field: str) -> list[Record]:
    """Choose the annotations without a box, or without a mask.

    Args:
        annotations: those of an annotation file.
        field: "bbox" or "segmentation".
    """
    return [annotation for annotation in annotations if not annotation.get(field)]


def _check_image_sizes(images: list[Record]) -> None:
    for image in images:
        if image.get("height") is None or image.get("width") is None:
            raise ValueError(
                f"Image {image['id']!r} has no height and width in the annotation file, so that "
                "masks can't be judged there; give them to all images, or leave the task out, as "
                'tasks=("bbox",) does masks.'
            )


def _crowd_of_box(annotation: Record) -> Record:
    x, y, width, height = annotation["bbox"]
    right, bottom = x + width, y + height
    return {
        **annotation,
        "segmentation": [[x, y, right, y, right, bottom, x, bottom]],
        "iscrowd": 1,
    }
