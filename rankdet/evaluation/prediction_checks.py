"""Whether what a model predicts, and what is asked of it, can be scored at all."""

from collections.abc import Sequence

import numpy as np
from detectron2.structures import Instances

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


def check_dataset_name(dataset_name: str | Sequence[str]) -> str:
    """The one data set that an evaluator is for.

    Args:
        dataset_name: Its name, or a list of one, as configs of Detectron2 write it.

    Raises:
        ValueError: There are none or several, or it is no name.
    """
    names = [dataset_name] if isinstance(dataset_name, str) else dataset_name
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"dataset_name is {dataset_name!r}; give the name of a data set.")
    if len(names) != 1:
        raise ValueError(
            f"dataset_name is {list(names)!r}; an evaluator scores one data set: evaluate each of "
            "them by itself, with dataloader.test.dataset.names and the evaluator's name changed."
        )
    return names[0]


def instances_of(output: Record) -> Instances:
    """What a model has found in an image.

    Args:
        output: Of the model, for one image.

    Raises:
        ValueError: It predicts no instances.
    """
    if "instances" not in output:
        raise ValueError(
            f"The model predicts {', '.join(map(repr, output)) or 'nothing'} and no 'instances', "
            "so there are no boxes and masks to score; give a detector."
        )
    instances: Instances = output["instances"]
    return instances


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
