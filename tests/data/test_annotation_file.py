"""Every defect of an annotation file gives one sentence that names the file and the entry."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankdet.data.annotation_file import column, lacks_negatives, read_annotations

CONTENT: dict[str, Any] = {
    "images": [{"id": 3, "height": 10, "width": 10}],
    "annotations": [
        {
            **{"id": i, "image_id": 3, "category_id": 5, "bbox": [1, 2, 3, i], "area": 3 * i},
            "segmentation": [[0] * 6],
        }
        for i in (1, 2, 3)
    ],
    "categories": [{"id": 5, "name": "a"}],
}
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "annotations.json"


def test_valid_file_is_returned_as_parsed(path: Path) -> None:
    path.write_text(json.dumps(CONTENT))
    assert read_annotations(path) == CONTENT


def test_masks_can_be_left_out(path: Path) -> None:
    path.write_text(json.dumps(CONTENT))
    content = read_annotations(path, masks=False)
    assert all("segmentation" not in annotation for annotation in content["annotations"])
    assert content["annotations"][0]["bbox"] == [1, 2, 3, 1]


def with_image_ids(image: Any, of_annotation: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    content["images"] = [{"id": image}, {"id": "other.png"}]
    content["annotations"][0]["image_id"] = of_annotation
    content["annotations"] = content["annotations"][:1]
    return content


def test_image_ids_can_be_file_names(path: Path) -> None:
    content = with_image_ids("a city.png", "a city.png")
    path.write_text(json.dumps(content))
    assert read_annotations(path) == content
    path.write_text(json.dumps({**content, "annotations": []}))
    assert read_annotations(path)["annotations"] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_image_ids("3", 3), "Annotation 1 of .* has the image_id 3, which is not among"),
        (with_image_ids("3", "x"), "Annotation 1 of .* has the image_id 'x', which is not among"),
        (with_image_ids(3, 3), "Entry 1 of the images of .* has 'other.png' as 'id'"),
        (with_image_ids("other.png", "other.png"), "Id other.png occurs 2 times among the images"),
    ],
)
def test_file_names_and_integers_are_different_image_ids(
    path: Path, content: dict[str, Any], message: str
) -> None:
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_annotations(path)


def test_file_without_annotations_is_valid(path: Path) -> None:
    path.write_text(json.dumps({**CONTENT, "annotations": []}))
    assert read_annotations(path)["annotations"] == []


def test_missing_file_names_dataset_path_and_remedy(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'lvis_v1_train'.*DETECTRON2_DATASETS") as error:
        read_annotations(path, dataset_name="lvis_v1_train")
    assert str(path) in str(error.value)
    assert 'README sections "LVIS v1" and "COCO and Cityscapes"' in str(error.value)


@pytest.mark.parametrize("text", [json.dumps(CONTENT)[:-40], "", "{,}"])
def test_truncated_or_invalid_json_names_path_and_position(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match=r"not valid JSON \(.*char \d+\)") as error:
        read_annotations(path)
    assert str(path) in str(error.value)


def test_binary_file_is_named(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not valid JSON"):
        read_annotations(path)


@pytest.mark.parametrize("key", ["images", "categories"])
def test_missing_list_is_named(path: Path, key: str) -> None:
    path.write_text(json.dumps({k: v for k, v in CONTENT.items() if k != key}))
    with pytest.raises(ValueError, match=f"no list '{key}'"):
        read_annotations(path)


def _set(kind: str, index: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[kind][index].update(fields)


def _drop(kind: str, index: int, field: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[kind][index].pop(field)


def _put(kind: str, index: int, record: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[kind].__setitem__(index, record)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set("annotations", 1, category_id=9), "Annotation 2 of FILE has the category_id 9,"),
        (_set("annotations", 2, image_id=4), "Annotation 3 of FILE has the image_id 4,"),
        (_set("annotations", 1, id=3), "Id 3 occurs 2 times among the annotations of FILE."),
        (_drop("annotations", 1, "image_id"), "Entry 1 of the annotations of FILE has None as"),
        (_drop("images", 0, "id"), "Entry 0 of the images of FILE has None as 'id'"),
        (_set("categories", 0, id="x"), "Entry 0 of the categories of FILE has 'x' as 'id'"),
        (_set("annotations", 1, category_id=5.5), "Entry 1 of the annotations of FILE has 5.5 as"),
        (_set("annotations", 1, category_id=5.0), "Entry 1 of the annotations of FILE has 5.0 as"),
        (_set("annotations", 1, category_id="5"), "Entry 1 of the annotations of FILE has '5' as"),
        (_set("annotations", 0, id=True), "Entry 0 of the annotations of FILE has True as 'id'"),
        (_set("images", 0, id=2**70), f"Entry 0 of the images of FILE has {2**70} as 'id'"),
        (_put("annotations", 2, 5), "Entry 2 of the annotations of FILE is 5; it must be a JSON"),
        (_put("images", 0, None), "Entry 0 of the images of FILE is None; it must be a JSON"),
        (_drop("annotations", 2, "bbox"), "Annotation 3 of FILE has None as 'bbox'"),
        (_set("annotations", 1, bbox=[0, 0, -1, 1]), "Annotation 2 of FILE has [0, 0, -1, 1] as"),
        (_set("annotations", 1, bbox=[0, 0, 1, -1]), "Annotation 2 of FILE has [0, 0, 1, -1] as"),
        (_set("annotations", 1, bbox=[0, NAN, 1, 1]), "Annotation 2 of FILE has [0, nan, 1, 1]"),
        (_set("annotations", 1, bbox=[0, 0, INF, 1]), "Annotation 2 of FILE has [0, 0, inf, 1]"),
        (_set("annotations", 1, bbox=[0, 0, 1]), "Annotation 2 of FILE has [0, 0, 1] as 'bbox'"),
        (_set("annotations", 1, bbox=["1", 2, 3, 4]), "Annotation 2 of FILE has ['1', 2, 3, 4] as"),
        (_set("annotations", 1, bbox=[0, 0, 1, 10**400]), "Annotation 2 of FILE has [0, 0, 1, 10"),
        (_set("annotations", 1, bbox="abcd"), "Annotation 2 of FILE has 'abcd' as 'bbox'"),
    ],
)
def test_inconsistent_entry_is_named(
    path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = copy.deepcopy(CONTENT)
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(message.replace("FILE", str(path)))):
        read_annotations(path)


def test_column_collects_integers() -> None:
    values = column([{"id": 2**40}, {"id": 7}], "id", "images")
    assert values.dtype == np.int64
    assert values.tolist() == [2**40, 7]


@pytest.mark.parametrize(
    ("negatives", "lacking"),
    [([None, None], False), ([[], []], True), ([None, []], True), ([[], [4]], False), ([], False)],
)
def test_federated_file_without_negatives_is_found(negatives: list[Any], lacking: bool) -> None:
    images = [
        {"id": number} if ids is None else {"id": number, "neg_category_ids": ids}
        for number, ids in enumerate(negatives)
    ]
    assert lacks_negatives({"images": images}) is lacking
