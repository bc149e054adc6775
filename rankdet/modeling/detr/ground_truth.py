"""Checks ground truth before anything is matched to it."""

from typing import Any

import torch
from detectron2.structures import Instances


def check_ground_truth(batched_inputs: list[dict[str, Any]], num_classes: int) -> None:
    """Refuse boxes and classes that no query can be matched to, while they are on the host.

    Args:
        batched_inputs: as in Detectron2.
        num_classes: C.

    Raises:
        ValueError: an image has no "instances", a box that is empty or not finite, or a class that
            is not in [0, C).
    """
    for number, image in enumerate(batched_inputs):
        name = image.get("file_name", f"number {number} of the batch")
        if "instances" not in image:
            raise ValueError(
                f"image {name} has no instances to train on; set "
                "dataloader.train.mapper.is_train=True."
            )
        instances = image["instances"]
        _check_boxes(name, instances)
        _check_classes(name, instances, num_classes)


def as_one_class(instances: Instances) -> Instances:
    """The same boxes, all of class 0."""
    classes = torch.zeros_like(instances.gt_classes)
    return Instances(instances.image_size, gt_boxes=instances.gt_boxes, gt_classes=classes)


def _check_boxes(name: str, instances: Instances) -> None:
    boxes = instances.gt_boxes.tensor
    is_bad = ~(boxes.isfinite().all(dim=1) & instances.gt_boxes.nonempty())
    if is_bad.any():
        raise ValueError(
            f"image {name} has the ground-truth box {boxes[is_bad][0].tolist()} (corners, pixels), "
            "which is empty or not finite; correct or drop the annotation, or use a mapper that "
            "filters it."
        )


def _check_classes(name: str, instances: Instances, num_classes: int) -> None:
    classes = instances.gt_classes
    is_bad = (classes < 0) | (classes >= num_classes)
    if is_bad.any():
        raise ValueError(
            f"image {name} has an object of class {classes[is_bad][0]}, but the model has "
            f"num_classes={num_classes}; count the classes of the data set."
        )
