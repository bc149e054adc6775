"""Random annotations and detections of the size, the long tail and the rules of LVIS v1."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import pycocotools.mask
from tqdm import tqdm

from rankdet.data.annotation_checks import Record
from rankdet.evaluation.detection_table import DetectionTable

NUM_INSTANCES = 1_270_141
NUM_IMAGES = 100_170
NUM_CATEGORIES = 1203
WIDTH, HEIGHT = 640, 480
INSTANCES_PER_BATCH = 10_000
SHARE_OF_RIGHT_CLASSES = 0.3
"""Of the detections: a class that is annotated in the image. The others have random classes."""

FloatArray = npt.NDArray[np.float64]


def write_lvis_sized_file(path: Path, *, num_instances: int = NUM_INSTANCES, seed: int = 0) -> None:
    """Write images, categories and polygon annotations as LVIS v1 has them, about 0.5 kB each.

    Args:
        path: the JSON file to write.
        num_instances: number of annotations.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    # From the most to the least frequent class a factor of 10,000, as in LVIS v1.
    frequency = rng.permutation(np.geomspace(10_000, 1, NUM_CATEGORIES))
    categories = [{"id": i + 1, "name": f"class_{i + 1}"} for i in range(NUM_CATEGORIES)]
    images = [
        {"id": i + 1, "coco_url": f"train2017/{i + 1}.jpg", "width": WIDTH, "height": HEIGHT}
        for i in range(NUM_IMAGES)
    ]
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"categories": {json.dumps(categories)}, "images": {json.dumps(images)}, ')
        file.write('"annotations": [')
        _write_annotations(file, num_instances, frequency / frequency.sum(), rng)
        file.write("]}")


def _write_annotations(
    file: TextIO,
    num_instances: int,
    class_probability: FloatArray,
    rng: np.random.Generator,
) -> None:
    for start in tqdm(range(0, num_instances, INSTANCES_PER_BATCH), "Writing", unit="batch"):
        size = min(INSTANCES_PER_BATCH, num_instances - start)
        category_ids = rng.choice(NUM_CATEGORIES, size=size, p=class_probability) + 1
        records = [
            {"id": start + i, "category_id": category_id, **shape}
            for i, (category_id, shape) in enumerate(
                zip(category_ids.tolist(), _shapes(size, rng), strict=True), start=1
            )
        ]
        file.write(", " if start else "")
        file.write(json.dumps(records)[1:-1])


def _shapes(size: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Image, box, area and polygon of that many instances; the vertices vary between batches."""
    num_vertices = int(rng.integers(8, 33))
    angles = np.linspace(0, 2 * np.pi, num_vertices, endpoint=False)
    radius = rng.uniform(4, 120, size=(size, 1)) * rng.uniform(0.7, 1, size=(size, num_vertices))
    outline = radius[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    center = rng.uniform((120, 120), (WIDTH - 120, HEIGHT - 120), size=(size, 2))
    points = (outline + center[:, None]).round(2)
    low, high = points.min(axis=1), points.max(axis=1)
    boxes = np.concatenate([low, high - low], axis=1).round(2)
    image_ids = rng.integers(1, NUM_IMAGES + 1, size=size)
    for image_id, box, polygon in zip(
        image_ids.tolist(), boxes.tolist(), points.reshape(size, -1).tolist(), strict=True
    ):
        area = round(box[2] * box[3], 2)
        yield {"image_id": image_id, "bbox": box, "area": area, "segmentation": [polygon]}


def federated_annotations(num_images: int, rng: np.random.Generator) -> Record:
    """Make the content of an annotation file in the format of LVIS v1.

    An image has 6 to 19 rectangular objects of up to 4 classes, up to 10 classes that are known to
    be absent, and one that is not annotated exhaustively. The most frequent class is 10,000 times
    as frequent as the rarest.

    Args:
        num_images: how many images.
        rng: where the random numbers come from.
    """
    frequency = rng.permutation(np.geomspace(10_000, 1, NUM_CATEGORIES))
    categories = [
        {"id": i, "name": f"class_{i}", "frequency": "r" if n <= 10 else "c" if n <= 100 else "f"}
        for i, n in enumerate(frequency.tolist(), start=1)
    ]
    images: list[Record] = []
    annotations: list[Record] = []
    for image_id in tqdm(range(1, num_images + 1), "Annotating", unit="image", leave=False):
        present = 1 + rng.choice(NUM_CATEGORIES, size=4, p=frequency / frequency.sum())
        absent = np.setdiff1d(rng.integers(1, NUM_CATEGORIES + 1, size=10), present)
        images.append(
            {
                "id": image_id,
                "height": HEIGHT,
                "width": WIDTH,
                "neg_category_ids": absent.tolist(),
                "not_exhaustive_category_ids": present[:1].tolist(),
            }
        )
        size = int(rng.integers(6, 20))
        boxes = _random_boxes(size, rng).tolist()
        for category_id, box in zip(rng.choice(present, size).tolist(), boxes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "segmentation": [_outline(box)],
                }
            )
    return {"images": images, "annotations": annotations, "categories": categories}


def random_detections(
    content: Record, num_per_image: int, task: str, rng: np.random.Generator
) -> DetectionTable:
    """Make detections near the objects of an annotation file, most of them of wrong classes.

    Args:
        content: what :func:`federated_annotations` makes.
        num_per_image: how many for each image.
        task: "bbox", or "segm" for masks as well, which are rectangles.
        rng: where the random numbers come from.
    """
    table = DetectionTable()
    for objects in tqdm(_by_image(content), "Detecting", len(content["images"]), leave=False):
        nearest = rng.integers(len(objects), size=num_per_image)
        boxes = np.array([a["bbox"] for a in objects])[nearest]
        boxes = (boxes + rng.normal(0, 6, boxes.shape)).clip(2, (WIDTH, HEIGHT, WIDTH, HEIGHT))
        category_ids = np.where(
            rng.random(num_per_image) < SHARE_OF_RIGHT_CLASSES,
            np.array([a["category_id"] for a in objects])[nearest],
            rng.integers(1, NUM_CATEGORIES + 1, size=num_per_image),
        )
        columns = zip(
            category_ids.tolist(), boxes.tolist(), rng.random(num_per_image).tolist(), strict=True
        )
        image_id = objects[0]["image_id"]
        results = [
            {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
            for category_id, box, score in columns
        ]
        if task == "segm":
            for result, mask in zip(results, _rectangles(boxes), strict=True):
                result["segmentation"] = mask
        table.add(results)
    return table


def _by_image(content: Record) -> Iterator[list[Record]]:
    """The annotations of each image, which come one after another."""
    image_ids = np.array([annotation["image_id"] for annotation in content["annotations"]])
    ends = np.flatnonzero(np.diff(image_ids, append=-1)) + 1
    for start, end in zip([0, *ends.tolist()], ends.tolist(), strict=False):
        yield content["annotations"][start:end]


def _random_boxes(number: int, rng: np.random.Generator) -> FloatArray:
    sizes = rng.uniform(5, 200, size=(number, 2))
    corners = rng.uniform(size=(number, 2)) * ((WIDTH, HEIGHT) - sizes)
    return np.concatenate([corners, sizes], axis=1)


def _outline(box: list[float]) -> list[float]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def _rectangles(boxes: FloatArray) -> list[Record]:
    masks: list[Record] = pycocotools.mask.frPyObjects(boxes, HEIGHT, WIDTH)
    return [{**mask, "counts": mask["counts"].decode()} for mask in masks]
