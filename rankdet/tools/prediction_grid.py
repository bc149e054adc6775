"""Draws images with their ground truth and what a model predicts, side by side."""

import math
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch
from detectron2.data.detection_utils import (
    annotations_to_instances,
    transform_instance_annotations,
)
from detectron2.data.transforms import ResizeTransform
from detectron2.structures import Instances
from fvcore.transforms.transform import TransformList
from matplotlib.figure import Figure, SubFigure
from torch import nn
from torchvision.ops import nms

from rankdet.data.frequency_groups import LABELS, Classes
from rankdet.tools.frequency_colors import class_colors, legend_handles
from rankdet.tools.object_overlay import ByteArray, draw_objects
from rankdet.tools.pictures import read_picture

Record = dict[str, Any]

_CELL = 440  # pixels, longer side of a drawn image
_DPI = 100
_MAX_IOU = 0.5  # of two predictions that are drawn


def choose_records(records: Sequence[Record], groups: Sequence[str], number: int) -> list[Record]:
    """Choose annotated images that show rare, common and frequent classes in turn.

    Args:
        records: in Detectron2's format.
        groups: letter of each class.
        number: of images to choose; all annotated ones if there are fewer.

    Returns:
        For each group in turn, the first image with a class of it that none before has shown.
    """
    left = [record for record in records if _objects(record)]
    chosen: list[Record] = []
    shown: set[int] = set()
    for letter in islice(cycle(LABELS), min(number, len(left))):
        new = (r for r in left if any(groups[c] == letter for c in _class_ids(r) - shown))
        record = next(new, left[0])
        left.remove(record)
        chosen.append(record)
        shown |= _class_ids(record)
    return sorted(chosen, key=records.index)


@torch.no_grad()
def predict(
    model: nn.Module, mapper: Callable[[Record], Record], records: Sequence[Record]
) -> list[Instances]:
    """Detect objects; boxes and masks are in pixels of the drawing, not of the image.

    Args:
        model: detector of Detectron2's interface.
        mapper: turns a record into the model's input, as for evaluation.
        records: in Detectron2's format.

    Returns:
        The detections of each image, on the CPU; of those that overlap by an IoU over 0.5, of
        any class, only the best.
    """
    model.eval()
    inputs = []
    for record in records:
        height, width = _drawn_size(record)
        inputs.append({**mapper(record), "height": height, "width": width})
    detections = [model([one])[0]["instances"].to("cpu") for one in inputs]
    return [one[nms(one.pred_boxes.tensor, one.scores, _MAX_IOU)] for one in detections]


def matching_threshold(records: Sequence[Record], predictions: Sequence[Instances]) -> float:
    """Find the threshold that leaves as many predictions as there are annotated objects.

    Losses calibrate scores differently, so no constant suits all of them.
    """
    scores = torch.cat([one.scores for one in predictions]).sort(descending=True).values
    num_objects = sum(len(_objects(record)) for record in records)
    return scores[min(num_objects, len(scores)) - 1].item() if len(scores) else 0.0


def draw_prediction_grid(
    records: Sequence[Record], predictions: Sequence[Instances], classes: Classes, threshold: float
) -> Figure:
    """Draw pairs of ground truth and predictions, two pairs to a row.

    Args:
        records: in Detectron2's format.
        predictions: of each record, from :func:`predict`.
        classes: of the dataset.
        threshold: least score of a drawn prediction.
    """
    columns = min(2, len(records))
    rows = math.ceil(len(records) / columns)
    height, width = (max(sides) for sides in zip(*map(_drawn_size, records), strict=True))
    size = ((2 * width + 40) * columns / _DPI, ((height + 40) * rows + 90) / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    pairs = figure.subfigures(
        rows, columns, squeeze=False, wspace=0.02, hspace=0.01, facecolor="0.93"
    )
    for pair, record, detections in zip(pairs.flat, records, predictions, strict=False):
        _draw_pair(pair, record, detections[detections.scores >= threshold], classes)
    figure.suptitle(
        f"Predictions scored {threshold:.2f} and higher; where they overlap, the best only",
        fontsize=15,
    )
    figure.legend(
        handles=legend_handles("s"),
        loc="outside lower center",
        ncols=3,
        fontsize=14,
        markerscale=1.8,
    )
    return figure


def _draw_pair(pair: SubFigure, record: Record, detections: Instances, classes: Classes) -> None:
    pixels, ground_truth = _load(record)
    annotated = [classes.names[index] for index in ground_truth.pred_classes]
    predicted = [
        f"{classes.names[index]} {score:.2f}"
        for index, score in zip(detections.pred_classes, detections.scores, strict=True)
    ]
    left, right = pair.subplots(1, 2)
    left.set_title(f"image {record['image_id']}: ground truth", fontsize=13)
    right.set_title("predictions", fontsize=13)
    for axes, objects, labels in (
        (left, ground_truth, annotated),
        (right, detections, predicted),
    ):
        colors = class_colors([classes.groups[index] for index in objects.pred_classes])
        draw_objects(axes, pixels, objects, labels, colors)


def _load(record: Record) -> tuple[ByteArray, Instances]:
    """The image and its objects, enlarged or shrunk to the size of the drawing."""
    pixels = read_picture(record["file_name"])
    size = _drawn_size(record)
    transform = TransformList([ResizeTransform(*pixels.shape[:2], *size)])
    annotations = [
        transform_instance_annotations(dict(one), transform, size) for one in _objects(record)
    ]
    found = annotations_to_instances(annotations, size, mask_format="bitmask")
    objects = Instances(size, pred_boxes=found.gt_boxes, pred_classes=found.gt_classes)
    if found.has("gt_masks"):
        objects.pred_masks = found.gt_masks.tensor
    return transform.apply_image(pixels), objects


def _drawn_size(record: Record) -> tuple[int, int]:
    """Height and width, pixels."""
    scale = _CELL / max(record["height"], record["width"])
    return round(scale * record["height"]), round(scale * record["width"])


def _objects(record: Record) -> list[Record]:
    return [one for one in record.get("annotations", []) if not one.get("iscrowd", 0)]


def _class_ids(record: Record) -> set[int]:
    return {one["category_id"] for one in _objects(record)}
