"""Writes a tiny dataset in the format and folder layout of LVIS v1, with its 1,203 classes."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

USED_CATEGORY_IDS = (1, 2, 12, 500, 793, 1203)
ABSENT_CATEGORY_IDS = (7, 77, 777)


def write_tiny_lvis(root: Path, split: str, num_images: int, seed: int) -> None:
    """Write `lvis/lvis_v1_<split>.json` and the images it lists, three instances on each.

    Most classes have no instance at all, as happens in any subset of LVIS.
    """
    rng = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in range(1, num_images + 1):
        image, objects = _draw_image(rng)
        file_name = f"{split}2017/{image_id:012d}.jpg"
        path = root / "coco" / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        images.append(_image_record(image_id, file_name, image, objects))
        for fields in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **fields})
    json_file = root / "lvis" / f"lvis_v1_{split}.json"
    json_file.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": _categories(annotations)}
    json_file.write_text(json.dumps(content))


def _draw_image(rng: np.random.Generator) -> tuple[Image.Image, list[dict[str, Any]]]:
    height, width = rng.integers(96, 129, size=2)
    image = Image.fromarray(rng.integers(0, 128, size=(height, width, 3), dtype=np.uint8))
    category_ids = rng.choice(USED_CATEGORY_IDS, size=3)
    return image, [_draw_instance(image, int(category_id), rng) for category_id in category_ids]


def _draw_instance(
    image: Image.Image, category_id: int, rng: np.random.Generator
) -> dict[str, Any]:
    w, h = rng.integers(16, 48, size=2).tolist()
    x, y = int(rng.integers(0, image.width - w)), int(rng.integers(0, image.height - h))
    diamond = [x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]
    ImageDraw.Draw(image).polygon(diamond, fill=tuple(rng.integers(128, 256, size=3).tolist()))
    return {
        "category_id": category_id,
        "segmentation": [diamond],
        "bbox": [x, y, w, h],
        "area": w * h / 2,
    }


def _image_record(
    image_id: int, file_name: str, image: Image.Image, objects: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": image_id,
        "coco_url": f"http://images.cocodataset.org/{file_name}",
        "height": image.height,
        "width": image.width,
        "neg_category_ids": list(ABSENT_CATEGORY_IDS),
        "not_exhaustive_category_ids": [objects[0]["category_id"]] if image_id % 2 else [],
    }


def _categories(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Detectron2's table of the classes, with the counts of these annotations."""
    from detectron2.data.datasets.lvis_v1_categories import LVIS_CATEGORIES

    instances = Counter(ann["category_id"] for ann in annotations)
    images = Counter(cat for _, cat in {(a["image_id"], a["category_id"]) for a in annotations})
    return [
        {
            **category,
            "instance_count": instances[category["id"]],
            "image_count": images[category["id"]],
        }
        for category in LVIS_CATEGORIES
    ]
