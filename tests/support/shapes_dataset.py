"""A user's own data set: six images of colored rectangles, of three classes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import BoxMode
from PIL import Image

CLASSES = ("red", "green", "blue")
CATEGORY_IDS = (0, 7, 40)
SIDE = 64
Record = dict[str, Any]


def shapes(num_images: int = 6) -> Record:
    """The annotations in COCO's format, two objects in each image."""
    rng = np.random.default_rng(0)
    images = [
        {"id": i + 1, "file_name": f"{i + 1}.png", "height": SIDE, "width": SIDE}
        for i in range(num_images)
    ]
    annotations = []
    for number in range(2 * num_images):
        x, y, w, h = (int(value) for value in rng.integers((2, 2, 16, 16), (30, 30, 30, 30)))
        annotations.append(
            {
                "id": number + 1,
                "image_id": number // 2 + 1,
                "category_id": CATEGORY_IDS[number % 3],
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )
    categories = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, CLASSES, strict=True)]
    return {"images": images, "annotations": annotations, "categories": categories[::-1]}


def write_images(content: Record, folder: Path) -> None:
    """Draw what the annotations say."""
    for image in content["images"]:
        pixels = np.full((SIDE, SIDE, 3), 90, np.uint8)
        for one in content.get("annotations", []):
            if one["image_id"] == image["id"]:
                x, y, w, h = one["bbox"]
                color = np.eye(3)[CATEGORY_IDS.index(one["category_id"])] * 255
                pixels[y : y + h, x : x + w] = color
        Image.fromarray(pixels).save(folder / image["file_name"])


def register_file(name: str, content: Record, folder: Path, **metadata: Any) -> str:
    """As a user does, who writes a JSON file and names it to Detectron2."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    register_coco_instances(name, metadata, str(path), str(folder))
    return name


def register_function(name: str, content: Record, folder: Path) -> str:
    """As Detectron2's tutorial does: a function that returns dicts, and the names of classes."""
    DatasetCatalog.register(name, partial(make_dicts, content, folder))
    MetadataCatalog.get(name).set(thing_classes=list(CLASSES))
    return name


def make_dicts(content: Record, folder: Path) -> list[Record]:
    """What such a function returns."""
    return [
        {
            "file_name": str(folder / image["file_name"]),
            "image_id": image["id"],
            "height": image["height"],
            "width": image["width"],
            "annotations": [
                {
                    "bbox": one["bbox"],
                    "bbox_mode": BoxMode.XYWH_ABS,
                    "category_id": CATEGORY_IDS.index(one["category_id"]),
                    **({"segmentation": s} if (s := one.get("segmentation")) else {}),
                }
                for one in content["annotations"]
                if one["image_id"] == image["id"]
            ],
        }
        for image in content["images"]
    ]


def forget(*names: str) -> None:
    """Take data sets out of Detectron2's catalogs, where they are."""
    for name in names:
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog:
                catalog.remove(name)
