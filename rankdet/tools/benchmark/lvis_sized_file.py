"""Writes a random annotation file with the size and the long tail of LVIS v1's training set."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

NUM_INSTANCES = 1_270_141
NUM_IMAGES = 100_170
NUM_CATEGORIES = 1203

WIDTH, HEIGHT = 640, 480
INSTANCES_PER_BATCH = 10_000


def write_lvis_sized_file(path: Path, *, num_instances: int = NUM_INSTANCES, seed: int = 0) -> None:
    """Write images, categories and polygon annotations as LVIS v1 has them, about 0.5 kB each.

    Args:
        path: The JSON file to write.
        num_instances: Number of annotations.
        seed: Of the random numbers.
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
    class_probability: npt.NDArray[np.float64],
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
