"""Checks ground truth before anything is matched to it."""

from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor


def check_ground_truth(batched_inputs: list[dict[str, Any]], num_classes: int) -> None:
    """Refuse boxes and classes that no query can be matched to, while they are on the host.

    Args:
        batched_inputs: as in Detectron2; one image at least.
        num_classes: C.

    Raises:
        ValueError: an image has no "instances", a box that is empty or not finite, or a class that
            is not in [0, C).
    """
    names = [x.get("file_name", f"number {n} of the batch") for n, x in enumerate(batched_inputs)]
    for name, image in zip(names, batched_inputs, strict=True):
        if "instances" not in image:
            raise ValueError(
                f"image {name} has no instances to train on; set "
                "dataloader.train.mapper.is_train=True."
            )
    instances = [x["instances"] for x in batched_inputs]
    names = [name for name, image in zip(names, instances, strict=True) for _ in range(len(image))]
    _check_boxes(names, torch.cat([x.gt_boxes.tensor for x in instances]))
    _check_classes(names, torch.cat([x.gt_classes for x in instances]), num_classes)


def as_one_class(instances: Instances) -> Instances:
    """The same boxes, all of class 0."""
    classes = torch.zeros_like(instances.gt_classes)
    return Instances(instances.image_size, gt_boxes=instances.gt_boxes, gt_classes=classes)


def _check_boxes(names: list[str], boxes: Tensor) -> None:
    is_good = boxes.isfinite().all(dim=1) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    if not is_good.all():
        row = int(is_good.int().argmin())
        raise ValueError(
            f"image {names[row]} has the ground-truth box {boxes[row].tolist()} (corners, pixels), "
            "which is empty or not finite; correct or drop the annotation, or use a mapper that "
            "filters it."
        )


def _check_classes(names: list[str], classes: Tensor, num_classes: int) -> None:
    is_good = (classes >= 0) & (classes < num_classes)
    if not is_good.all():
        row = int(is_good.int().argmin())
        raise ValueError(
            f"image {names[row]} has an object of class {classes[row]}, but the model has "
            f"num_classes={num_classes}; count the classes of the data set."
        )
