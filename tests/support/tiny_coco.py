"""Writes tiny data sets in COCO's format: those of the LVIS fixture with fewer classes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from support.tiny_lvis import USED_CATEGORY_IDS

COCO_THINGS = [category for category in COCO_CATEGORIES if category["isthing"]]
CITYSCAPES_CLASSES = MetadataCatalog.get("cityscapes_fine_instance_seg_train").thing_classes
CITYSCAPES_THINGS = [{"id": i, "name": name} for i, name in enumerate(CITYSCAPES_CLASSES)]


def write_tiny_coco(root: Path) -> None:
    """Write `coco/annotations/instances_<split>2017.json` of Detectron2's `coco_2017_<split>`."""
    for split in ("train", "val"):
        path = root / f"coco/annotations/instances_{split}2017.json"
        _write(root, split, path, COCO_THINGS)


def register_tiny_cityscapes(root: Path) -> None:
    """Write and register `tiny_cityscapes_<split>`; the raw format needs `cityscapesscripts`.

    As Detectron2 registers the real one, it has no annotation file, and file names as image ids.
    """
    for split in ("train", "val"):
        path = root / f"tiny_cityscapes_{split}.json"
        _write(root, split, path, CITYSCAPES_THINGS)
        name = f"tiny_cityscapes_{split}"
        images = root / f"coco/{split}2017"
        DatasetCatalog.register(name, partial(_load_named, str(path), str(images)))
        MetadataCatalog.get(name).set(thing_classes=CITYSCAPES_CLASSES)


def forget_tiny_cityscapes() -> None:
    """Undo :func:`register_tiny_cityscapes`."""
    for split in ("train", "val"):
        DatasetCatalog.remove(f"tiny_cityscapes_{split}")
        MetadataCatalog.remove(f"tiny_cityscapes_{split}")


def _load_named(path: str, images: str) -> list[dict[str, Any]]:
    dicts = load_coco_json(path, images)
    return [{**record, "image_id": Path(record["file_name"]).name} for record in dicts]


def _write(root: Path, split: str, path: Path, categories: list[dict[str, Any]]) -> None:
    content = json.loads((root / f"lvis/lvis_v1_{split}.json").read_text())
    ids = {old: categories[i]["id"] for i, old in enumerate(USED_CATEGORY_IDS)}
    for image in content["images"]:
        image["file_name"] = Path(image["coco_url"]).name
    for annotation in content["annotations"]:
        annotation.update(category_id=ids[annotation["category_id"]], iscrowd=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, "categories": categories}))
