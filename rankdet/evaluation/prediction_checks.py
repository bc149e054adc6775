"""Whether what a model predicts, and what is asked of it, can be scored at all."""

import numpy as np

from rankdet.data.annotation_file import Record


def check_limit(name: str, limit: int | None, *, may_be_none: bool = False) -> None:
    """Check a limit on the number of detections.

    Args:
        name: Of the argument, for the message.
        limit: Its value.
        may_be_none: None is a value, too: no limit.

    Raises:
        ValueError: It is no integer, or less than 1.
    """
    if limit is None and may_be_none:
        return
    if not isinstance(limit, int) or limit < 1:
        or_none = ", or None" if may_be_none else ""
        raise ValueError(f"{name} is {limit!r}; give an integer of at least 1{or_none}.")


def check_geometry(annotations: list[Record], field: str) -> None:
    """Check that all annotations have what detections are compared with.

    Args:
        annotations: Of an annotation file.
        field: "bbox" or "segmentation".

    Raises:
        ValueError: One lacks it, or has an empty one.
    """
    lacking = next((annotation for annotation in annotations if not annotation.get(field)), None)
    if lacking is not None:
        raise ValueError(
            f"Annotation {lacking['id']} has no {field!r}, so that detections can't be judged by "
            'it; give it to all annotations, or leave the task out, as tasks=("bbox",) does masks.'
        )


def check_predictions(results: list[Record], image: Record) -> None:
    """Check the detections of an image, as no metric can tell these defects from misses.

    Args:
        results: Dicts with `score`, `bbox` and maybe `segmentation` (RLE).
        image: The entry of the annotation file; masks are checked if it has `height` and `width`.

    Raises:
        ValueError: A score or a box is not finite, or a mask has another size than the image.
    """
    numbers = np.array([[*result["bbox"], result["score"]] for result in results])
    is_finite = np.isfinite(numbers.reshape(-1, 5)).all(axis=1)
    if not is_finite.all():
        bad = results[int(is_finite.argmin())]
        raise ValueError(
            f"The model predicts box {bad['bbox']} with score {bad['score']} for image "
            f"{image['id']!r}; its weights or its precision are at fault: lower the learning rate, "
            "or evaluate without mixed precision."
        )
    size = [image.get("height"), image.get("width")]
    sizes = [result["segmentation"]["size"] for result in results if "segmentation" in result]
    other = next((list(mask) for mask in sizes if list(mask) != size), None)
    if other is not None and None not in size:
        raise ValueError(
            f"A mask of image {image['id']!r} has {other[0]} x {other[1]} pixels, but the image "
            f"has {size[0]} x {size[1]} in the annotation file; give the dataset's records the "
            "height and width of that file."
        )
