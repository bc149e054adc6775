"""A data set of two images and three objects, to be damaged, and what must accept or refuse it."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bad_input.case import Case
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    get_detection_dataset_dicts,
)
from detectron2.data.datasets import load_lvis_json, register_coco_instances
from detectron2.modeling.roi_heads import ROIHeads
from detectron2.structures import BoxMode
from PIL import Image

from rankdet.data import instance_counts
from rankdet.engine.checks import check_datasets

WIDTH, HEIGHT = 40, 32
CLASSES = ["cat", "dog"]
Content = dict[str, Any]
Damage = Callable[[Content], Any]


def small_content() -> Content:
    """A file that Detectron2's readers of COCO and of LVIS take."""
    boxes = {1: (1, 1, [2, 3, 10, 8]), 2: (1, 2, [12, 3, 20, 20]), 3: (2, 2, [0, 0, 40, 32])}
    return {
        "images": [
            {
                "id": number,
                "file_name": f"{number}.png",
                "coco_url": f"images/{number}.png",
                "width": WIDTH,
                "height": HEIGHT,
                "neg_category_ids": [1] if number == 2 else [],
                "not_exhaustive_category_ids": [],
            }
            for number in (1, 2)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
            for number, (image, category, (x, y, w, h)) in boxes.items()
        ],
    }


def changed(*damages: Damage) -> Content:
    """The content after these changes."""
    content = copy.deepcopy(small_content())
    for damage in damages:
        damage(content)
    return content


def setting(kind: str, index: int, **fields: Any) -> Damage:
    """Set fields of one record."""
    return lambda content: content[kind][index].update(fields)


def dropping(kind: str, index: int, field: str) -> Damage:
    """Remove a field of one record."""
    return lambda content: content[kind][index].pop(field)


def of_all(kind: str, **fields: Any) -> Damage:
    """Set fields of all records."""
    return lambda content: [record.update(fields) for record in content[kind]]


def write_small_images(folder: Path) -> None:
    """Write the two images, at the places where both readers look for them."""
    (folder / "images").mkdir(exist_ok=True)
    for number in (1, 2):
        for place in (folder, folder / "images"):
            Image.new("RGB", (WIDTH, HEIGHT), "gray").save(place / f"{number}.png")


@contextmanager
def registered(
    content: Content | str | bytes, folder: Path, reader: str = "coco", name: str = "small"
) -> Iterator[str]:
    """Register a file of that content, for the time of the context."""
    path = folder / f"{name}.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    if reader == "coco":
        register_coco_instances(name, {}, str(path), str(folder))
    else:
        DatasetCatalog.register(name, lambda: load_lvis_json(str(path), f"{folder}/"))
        MetadataCatalog.get(name).set(
            json_file=str(path), image_root=f"{folder}/", evaluator_type="lvis"
        )
    try:
        yield name
    finally:
        forget(name)


def balloons(folder: Path) -> list[dict[str, Any]]:
    """Two images with an object each, masks included."""
    return [
        {
            "file_name": f"{folder}/{number}.png",
            "image_id": number,
            "height": HEIGHT,
            "width": WIDTH,
            "annotations": [
                {
                    "bbox": [0, 0, 9, 9],
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": number - 1,
                    "segmentation": [[0, 0, 9, 0, 9, 9]],
                }
            ],
        }
        for number in (1, 2)
    ]


@contextmanager
def registered_function(dicts: list[dict[str, Any]]) -> Iterator[str]:
    """Register a function that returns such dicts, for the time of the context."""
    name = "balloons"
    DatasetCatalog.register(name, lambda: copy.deepcopy(dicts))
    MetadataCatalog.get(name).thing_classes = CLASSES
    try:
        yield name
    finally:
        forget(name)


def forget(name: str) -> None:
    """Remove a data set from Detectron2's catalogs."""
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


class Heads(ROIHeads):
    """Says what the checks ask of a detector."""

    def __init__(self, mask_on: bool = False) -> None:
        super().__init__(
            num_classes=len(CLASSES),
            batch_size_per_image=1,
            positive_fraction=0.5,
            proposal_matcher=None,
        )
        self.mask_on = mask_on


def mapper_config(masks: bool, mask_format: str = "polygon") -> dict[str, Any]:
    """As a config has Detectron2's mapper."""
    return {
        "_target_": DatasetMapper,
        "use_instance_mask": masks,
        "instance_mask_format": mask_format,
    }


def accept(name: str, masks: bool = False, mask_format: str = "polygon") -> list[int]:
    """Check a training set, load and map it as Detectron2 does; gives the instances it trains on.

    Raises:
        ValueError: rankdet refuses it; another error is Detectron2's.
    """
    config = mapper_config(masks, mask_format)
    check_datasets(Heads(masks), [name], [], config)
    dicts = get_detection_dataset_dicts(name)
    options = {key: value for key, value in config.items() if key != "_target_"}
    mapper = DatasetMapper(is_train=True, augmentations=[], image_format="RGB", **options)
    instances = [mapper(record)["instances"] for record in dicts]
    trained = [0] * len(CLASSES)
    for one in instances:
        assert not (masks and len(one)) or one.has("gt_masks")
        for class_id in one.gt_classes.tolist():
            trained[class_id] += 1
    return trained


def check_case(
    case: Case,
    folder: Path,
    masks: bool = False,
    mask_format: str = "polygon",
    reader: str = "coco",
) -> None:
    """The sentence comes, or Detectron2 trains on exactly what is counted."""
    with registered(case.bad, folder, reader) as name:
        if case.sentence:
            with pytest.raises(ValueError, match=case.sentence):
                accept(name, masks, mask_format)
        else:
            trained = accept(name, masks, mask_format)
            assert trained == instance_counts(name).tolist(), case.meaning
