"""Checks of predictions for defects that no metric can tell from misses."""

from collections import Counter
from collections.abc import Collection, Iterable

import numpy as np
from detectron2.structures import Instances

from rankdet.data.annotation_file import Record


def instances_of(output: Record) -> Instances:
    """Take the detections from the output of a model for one image.

    Args:
        output: of the model, for one image.

    Raises:
        ValueError: it predicts no instances.
    """
    if "instances" not in output:
        raise ValueError(
            f"The model predicts {', '.join(map(repr, output)) or 'nothing'} and no 'instances', "
            "so there are no boxes and masks to score; give a detector."
        )
    instances: Instances = output["instances"]
    return instances


def check_predictions(results: list[Record], image: Record) -> None:
    """Check the detections of an image.

    Args:
        results: dicts with ``score``, ``bbox`` and maybe ``segmentation`` (RLE).
        image: the entry of the annotation file; masks are checked if it has ``height`` and
            ``width``.

    Raises:
        ValueError: a score or a box is not finite, or a mask has another size than the image.
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


def check_images(predicted: Iterable[int | str], known: Collection[int | str]) -> None:
    """Check that an annotation file lists the images of all detections.

    Args:
        predicted: image ids of detections.
        known: image ids of the annotation file, in a container that is quick to search.

    Raises:
        ValueError: an image is not listed.
    """
    unknown = {image_id for image_id in predicted if image_id not in known}
    if unknown:
        raise ValueError(
            f"There are predictions for image {min(unknown, key=str)!r}, which is not among the "
            f"{len(known)} images of the annotation file; evaluate on the dataset predicted."
        )


def check_unique(image_ids: list[int | str]) -> None:
    """Check that no image was predicted twice.

    Args:
        image_ids: of all predicted images, of all processes.

    Raises:
        ValueError: one repeats.
    """
    image_id, number = next(iter(Counter(image_ids).most_common(1)), ("", 0))
    if number > 1:
        raise ValueError(
            f"Image {image_id!r} was predicted {number} times, so that its detections would count "
            "as duplicates; let the sampler of the test loader give each image to one process "
            "once, as Detectron2's InferenceSampler does."
        )
