"""What metrics need of annotations, and what they make of those that lack it."""

from rankdet.data.annotation_file import Record

FEDERATED_FIELDS = ("neg_category_ids", "not_exhaustive_category_ids")
FREQUENCIES = ("r", "c", "f")
GEOMETRY_FIELD = {"bbox": "bbox", "segm": "segmentation", "boundary": "segmentation"}


def is_federated(content: Record) -> bool:
    """Whether an annotation file says, as LVIS does, which classes an image was searched for."""
    return any("neg_category_ids" in image for image in content["images"])


def check_lvis_fields(content: Record) -> None:
    """Check that no record of an annotation file lacks what LVIS's metrics need of it.

    That is the area of an annotation; if one image has `neg_category_ids`, they and
    `not_exhaustive_category_ids` of all; if one category has a `frequency`, that of all, which must
    be LVIS's letter.

    Raises:
        ValueError: One lacks a field, or has another frequency.
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
        if category["frequency"] not in FREQUENCIES:
            raise ValueError(
                f"Category {category['id']} has the frequency {category['frequency']!r}; give "
                "'r' (rare), 'c' (common) or 'f' (frequent) to all categories, or the field to "
                "none."
            )


def judged_annotations(content: Record, task: str) -> list[Record]:
    """The annotations as a task judges them.

    For masks, an annotation without one is a crowd of its box: that the object is there is known,
    but not its outline, so a detection there is neither right nor wrong.

    Args:
        content: A parsed annotation file. It is not changed.
        task: "bbox", "segm" or "boundary".

    Returns:
        N records, in the order of the file.

    Raises:
        ValueError: No annotation has a mask, or one lacks its box, or masks are judged in an image
            of unknown size.
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
    """The annotations that lack what detections are compared with.

    Args:
        annotations: Of an annotation file.
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
