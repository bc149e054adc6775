"""Changes of the annotations of shapes, and an evaluator that judges perfect predictions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from pycocotools import mask as coco_mask
from support.shapes_dataset import SIDE, register_file, shapes

from rankdet.evaluation import RankdetEvaluator

Record = dict[str, Any]
NAME = "shapes_bad"


def each(kind: str, **fields: Any) -> Callable[[Record], None]:
    """Set fields of all records of a kind; `...` deletes one."""

    def change(content: Record) -> None:
        for record in content[kind]:
            set_fields(record, **fields)

    return change


def first(kind: str, **fields: Any) -> Callable[[Record], None]:
    return lambda content: set_fields(content[kind][0], **fields)


def set_fields(record: Record, **fields: Any) -> None:
    for key, value in fields.items():
        if value is ...:
            record.pop(key, None)
        else:
            record[key] = value


def both(*changes: Callable[[Record], None]) -> Callable[[Record], None]:
    def change(content: Record) -> None:
        for one in changes:
            one(content)

    return change


def without(key: str) -> Callable[[Record], None]:
    return lambda content: content.pop(key)


def empty(key: str) -> Callable[[Record], None]:
    return lambda content: content.update({key: []})


def federate(negatives: list[int], of_first: Any = None) -> Callable[[Record], None]:
    def change(content: Record) -> None:
        for image in content["images"]:
            image.update(neg_category_ids=negatives, not_exhaustive_category_ids=[])
        if of_first is not None:
            set_fields(content["images"][0], **of_first)

    return change


def one_class(content: Record) -> None:
    content["categories"] = content["categories"][-1:]
    for one in content["annotations"]:
        one["category_id"] = content["categories"][0]["id"]


def rle_masks(content: Record) -> None:
    for one in content["annotations"]:
        one["segmentation"] = coco_mask.frPyObjects(one["segmentation"], SIDE, SIDE)[0]
        one["segmentation"]["counts"] = one["segmentation"]["counts"].decode()


def uncompressed_masks(content: Record) -> None:
    for one in content["annotations"]:
        mask = coco_mask.decode(coco_mask.frPyObjects(one["segmentation"], SIDE, SIDE))[..., 0]
        flat = mask.flatten(order="F")
        edges = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
        counts = np.diff(edges, prepend=0).tolist()
        one["segmentation"] = {"size": [SIDE, SIDE], "counts": counts}


def perfect(image: Record, content: Record) -> Instances:
    """What the (unchanged) annotations say, boxes and masks."""
    found = [one for one in shapes()["annotations"] if one["image_id"] == image["id"]]
    boxes = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = sorted(category["id"] for category in content["categories"])
    by_name = {c["id"]: ids.index(c["id"]) for c in content["categories"]}
    masks = torch.zeros(len(found), SIDE, SIDE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return Instances(
        (SIDE, SIDE),
        pred_boxes=Boxes(boxes),
        pred_classes=torch.tensor([by_name.get(one["category_id"], 0) for one in found]),
        scores=torch.linspace(0.9, 0.8, len(found)),
        pred_masks=masks,
    )


def judge(content: Record, evaluator: RankdetEvaluator) -> Record | None:
    evaluator.reset()
    for image in content["images"]:
        output = {"instances": perfect(image, content)}
        evaluator.process([{"image_id": image["id"]}], [output])
    return evaluator.evaluate()


def build(change: Callable[[Record], None], folder: Path, **arguments: Any) -> tuple[Record, Any]:
    content = shapes()
    change(content)
    register_file(NAME, content, folder)
    return content, RankdetEvaluator(NAME, distributed=False, **arguments)
