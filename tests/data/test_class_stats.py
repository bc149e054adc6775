"""Class counts of LVIS, COCO and custom datasets, by the class ids that Detectron2 trains with."""

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.data.datasets.cityscapes import load_cityscapes_instances
from detectron2.structures import BoxMode
from omegaconf import OmegaConf

from rankdet.data import ClassCounts, class_counts, image_counts, instance_counts
from rankdet.data.class_stats import annotation_path, class_ids

CLASSES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def registered_here() -> Iterator[None]:
    """Forget the datasets that a test registers."""
    before = set(MetadataCatalog)
    yield
    for name in set(MetadataCatalog) - before:
        MetadataCatalog.remove(name)
        DatasetCatalog.pop(name, None)


def annotation(class_id: int, **fields: Any) -> dict[str, Any]:
    mode = BoxMode.XYXY_ABS
    return {"category_id": class_id, "bbox": [1, 1, 5, 5], "bbox_mode": mode, **fields}


def image(number: int, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "file_name": f"{number}.jpg",
        "image_id": number,
        "height": 9,
        "width": 9,
        "annotations": annotations,
    }


def register_custom(name: str, class_ids: list[list[int]], classes: list[str] | None) -> None:
    """Register a dataset without a file: one image per list of class ids."""
    dicts = [image(i, [annotation(c) for c in ids]) for i, ids in enumerate(class_ids)]
    DatasetCatalog.register(name, lambda: dicts)
    if classes is not None:
        MetadataCatalog.get(name).thing_classes = classes


def write_coco(path: Path, category_ids: list[int], annotated: list[tuple[int, int]]) -> Path:
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 9, "width": 9} for i in (1, 2)],
        "categories": [{"id": i, "name": f"class {i}"} for i in category_ids],
        "annotations": [
            {
                "id": i,
                "image_id": image,
                "category_id": category,
                "bbox": [0, 0, 5, 5],
                "area": 25,
                "iscrowd": 0,
            }
            for i, (image, category) in enumerate(annotated, start=1)
        ],
    }
    path.write_text(json.dumps(content))
    return path


def counts_of_dicts(name: str) -> ClassCounts:
    dicts = DatasetCatalog.get(name)  # it also sets thing_classes
    num_classes = len(MetadataCatalog.get(name).thing_classes)
    images, instances = torch.zeros(2, num_classes, dtype=torch.int64)
    for record in dicts:
        found = [one["category_id"] for one in record["annotations"]]
        for class_id in found:
            instances[class_id] += 1
        for class_id in set(found):
            images[class_id] += 1
    return ClassCounts(images, instances)


def assert_equal(counts: ClassCounts, expected: ClassCounts) -> None:
    for values, reference in zip(counts, expected, strict=True):
        assert values.dtype == torch.int64
        assert torch.equal(values, reference)


@pytest.mark.usefixtures("lvis_datasets")
def test_lvis_counts_are_those_of_the_loaded_dataset() -> None:
    counts = class_counts("lvis_v1_train")
    assert counts.instances.sum() == 18
    assert_equal(counts, counts_of_dicts("lvis_v1_train"))


def test_coco_counts_are_those_of_the_loaded_dataset(tmp_path: Path) -> None:
    """The category ids have gaps: they are mapped by rank, until loading makes the map known."""
    path = write_coco(tmp_path / "coco.json", [90, 7, 13], [(1, 90), (1, 90), (2, 90), (2, 7)])
    register_coco_instances("custom_coco", {}, str(path), str(tmp_path))
    before_loading = class_counts("custom_coco")
    assert_equal(before_loading, counts_of_dicts("custom_coco"))
    assert_equal(class_counts("custom_coco"), before_loading)


def test_custom_dataset_without_file_is_counted_from_its_dicts() -> None:
    register_custom("custom", [[0, 0, 2], [], [0]], CLASSES)
    counts = class_counts("custom")
    assert_equal(counts, ClassCounts(torch.tensor([2, 0, 1]), torch.tensor([3, 0, 1])))


def test_crowds_of_a_custom_dataset_are_left_out() -> None:
    annotations = [annotation(0, iscrowd=1), annotation(1, iscrowd=0)]
    DatasetCatalog.register("crowds", lambda: [image(0, annotations)])
    MetadataCatalog.get("crowds").thing_classes = CLASSES
    assert class_counts("crowds").instances.tolist() == [0, 1, 0]


def test_counts_of_several_datasets_are_added() -> None:
    register_custom("one", [[0, 1]], CLASSES)
    register_custom("two", [[1, 1], [2]], CLASSES)
    counts = class_counts(("one", "two"))
    assert_equal(counts, ClassCounts(torch.tensor([1, 2, 1]), torch.tensor([1, 3, 1])))


@pytest.mark.parametrize("as_list", [False, True])
def test_config_values_are_accepted(as_list: bool) -> None:
    register_custom("custom", [[0, 0, 2]], CLASSES)
    config = OmegaConf.create({"names": ["custom"] if as_list else "custom"})
    assert instance_counts(config.names).tolist() == [2, 0, 1]
    assert image_counts(config.names).tolist() == [1, 0, 1]


def test_dataset_that_generates_itself_is_generated_first(tmp_path: Path) -> None:
    path = tmp_path / "made.json"
    DatasetCatalog.register("made", list)
    MetadataCatalog.get("made").set(
        json_file=str(path), ensure=lambda: write_coco(path, [1, 2], [(1, 2)])
    )
    assert class_counts("made").instances.tolist() == [0, 1]


def test_empty_classes_are_named_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    register_custom("custom", [[1]], ["left", "middle", "right"])
    class_counts("custom")
    class_counts("custom")
    assert [r.getMessage() for r in caplog.records if r.name.startswith("rankdet")] == [
        "2 of 3 classes have no training instance: left, right"
    ]


def test_long_list_of_empty_classes_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    register_custom("custom", [[0]], [f"class{i}" for i in range(31)])
    class_counts("custom")
    assert "class20 and 10 more" in caplog.text
    assert "class21" not in caplog.text


def test_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'lvis_v1_trian' is not registered.*lvis_v1_train"):
        class_counts("lvis_v1_trian")


def test_missing_annotation_file_is_named(tmp_path: Path) -> None:
    register_coco_instances("lost", {}, str(tmp_path / "lost.json"), str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"'lost'.*lost\.json"):
        class_counts("lost")


def test_missing_files_of_a_custom_dataset_are_named() -> None:
    DatasetCatalog.register("no_files", lambda: os.listdir("/no/images"))
    with pytest.raises(
        FileNotFoundError,
        match=r"'no_files'.*/no/images; the path is the one that 'no_files' was registered with",
    ):
        class_counts("no_files")


def test_where_the_reader_of_an_incomplete_dataset_stopped_is_said(tmp_path: Path) -> None:
    """Detectron2's reader of Cityscapes asserts that the label images are there."""
    image = tmp_path / "images/town/1_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    image.touch()
    folders = (str(tmp_path / "images"), str(tmp_path / "labels"))
    DatasetCatalog.register("no_labels", lambda: load_cityscapes_instances(*folders))
    with pytest.raises(ValueError, match=r"'no_labels' can't be read.*1_gtFine_instanceIds.png'"):
        class_counts("no_labels")


def test_missing_package_of_a_custom_dataset_is_named() -> None:
    DatasetCatalog.register("no_package", lambda: importlib.import_module("no_such_package"))
    with pytest.raises(ValueError, match=r"'no_package'.*pip install no_such_package"):
        class_counts("no_package")


def test_no_dataset_is_an_error() -> None:
    with pytest.raises(ValueError, match="dataset_names is empty"):
        class_counts([])


def test_datasets_with_different_classes_cannot_be_added() -> None:
    register_custom("one", [[0]], CLASSES)
    register_custom("two", [[0]], ["a"])
    with pytest.raises(ValueError, match=r"'one' \(3 classes\) and 'two' \(1 classes\)"):
        class_counts(["one", "two"])


def test_custom_dataset_without_class_names_is_an_error() -> None:
    register_custom("custom", [[0]], None)
    with pytest.raises(ValueError, match="classes of dataset 'custom' are unknown"):
        class_counts("custom")


@pytest.mark.parametrize("bad", [-1, 3])
def test_class_id_outside_the_classes_is_an_error(bad: int) -> None:
    register_custom("custom", [[0], [bad]], CLASSES)
    with pytest.raises(ValueError, match=rf"image 1 of .* has category_id {bad};"):
        class_counts("custom")


def test_annotated_category_outside_the_classes_is_an_error(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco.json", [1, 2], [(1, 2)])
    register_coco_instances("custom_coco", {"thing_classes": ["only"]}, str(path), str(tmp_path))
    with pytest.raises(ValueError, match="Category 2 of dataset 'custom_coco' is none of its 1"):
        class_counts("custom_coco")


def test_class_ids_are_those_of_the_metadata_of_lvis_or_of_the_order() -> None:
    metadata = MetadataCatalog.get("ids")
    assert class_ids(metadata, [7, 2]) == {2: 0, 7: 1}
    metadata.evaluator_type = "lvis"
    assert class_ids(metadata, [7, 2]) == {7: 6, 2: 1}
    metadata.thing_dataset_id_to_contiguous_id = {7: 0, 2: 1}
    assert class_ids(metadata, [7, 2]) == {7: 0, 2: 1}


def test_annotation_path_is_local_or_none() -> None:
    metadata = MetadataCatalog.get("paths")
    assert annotation_path(metadata) is None
    metadata.json_file = "folder/annotations.json"
    assert annotation_path(metadata) == Path("folder/annotations.json")
