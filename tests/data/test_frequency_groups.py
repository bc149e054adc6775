"""Which group each class belongs to, by the annotation file or by the training images."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import BoxMode

from rankdet.data.frequency_groups import Classes, class_groups, frequency_group, read_classes


@pytest.fixture
def register(tmp_path):
    """Registers a dataset whose n images show the first category, and one of them the second."""
    names = []

    def _register(name, categories, num_images=11):
        shown = [(image, 30) for image in range(num_images)] + [(0, 12)]
        content = {
            "images": [
                {"id": image, "file_name": f"{image}.png", "width": 8, "height": 8}
                for image in range(num_images)
            ],
            "annotations": [
                {
                    "id": index,
                    "image_id": image,
                    "category_id": category,
                    "bbox": [0, 0, 4, 4],
                    "area": 16,
                    "segmentation": [[0, 0, 4, 0, 4, 4]],
                    "iscrowd": 0,
                }
                for index, (image, category) in enumerate(shown)
            ],
            "categories": categories,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        register_coco_instances(name, {}, str(path), str(tmp_path))
        MetadataCatalog.get(name).thing_classes = ["cat", "dog"]
        names.append(name)
        return name

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_groups_are_those_of_the_annotation_file_in_the_order_of_the_ids(register):
    name = register(
        "groups_lvis",
        [{"id": 30, "name": "dog", "frequency": "r"}, {"id": 12, "name": "cat", "frequency": "f"}],
    )
    assert read_classes(name, []) == Classes(["cat", "dog"], ["f", "r"])


def test_groups_follow_the_class_ids_of_the_metadata(register):
    name = register(
        "groups_mapped",
        [{"id": 30, "name": "cat", "frequency": "r"}, {"id": 12, "name": "dog", "frequency": "f"}],
    )
    MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id = {30: 0, 12: 1}
    assert read_classes(name, []) == Classes(["cat", "dog"], ["r", "f"])


def test_training_images_decide_without_a_frequency(register):
    categories = [{"id": 12, "name": "cat"}, {"id": 30, "name": "dog"}]
    val = register("groups_val", categories, num_images=1)
    train = register("groups_train", categories)
    assert read_classes(val, [train]).groups == ["r", "c"]


@pytest.mark.parametrize("frequency", ["rare", None, 1, ["r"]])
def test_training_images_decide_where_frequencies_are_not_letters(register, frequency):
    categories = [{"id": 12, "name": "cat", "frequency": frequency}, {"id": 30, "name": "dog"}]
    train = register("groups_train", categories)
    assert read_classes(train, [train]).groups == ["r", "c"]


def test_training_sets_of_other_classes_are_named(register):
    val = register("groups_val", [{"id": 12, "name": "cat"}, {"id": 30, "name": "dog"}])
    with pytest.raises(ValueError, match=r"'groups_val' has 2 classes, .* 'glyphs_smoke_train' h"):
        read_classes(val, ["glyphs_smoke_train"])


def test_training_images_decide_without_an_annotation_file():
    box = {"category_id": 0, "bbox": [0, 0, 5, 5], "bbox_mode": BoxMode.XYXY_ABS}
    image = {"file_name": "one.png", "height": 9, "width": 9, "annotations": [box]}
    records = [{**image, "image_id": number} for number in range(101)]
    DatasetCatalog.register("groups_dicts", lambda: records)
    MetadataCatalog.get("groups_dicts").thing_classes = ["cat"]
    assert read_classes("groups_dicts", ["groups_dicts"]).groups == ["f"]
    DatasetCatalog.remove("groups_dicts")
    MetadataCatalog.remove("groups_dicts")


@pytest.mark.parametrize(
    ("images", "group"), [(1, "r"), (10, "r"), (11, "c"), (100, "c"), (101, "f")]
)
def test_rule_is_that_of_lvis(images: int, group: str) -> None:
    assert frequency_group(images) == group


CATEGORIES = [{"id": 7, "frequency": "c"}, {"id": 4, "frequency": "f"}, {"id": 2, "frequency": "c"}]


def test_groups_hold_sorted_ids_even_if_there_are_none() -> None:
    assert class_groups(CATEGORIES) == {"all": [2, 4, 7], "r": [], "c": [2, 7], "f": [4]}


def test_one_category_without_frequency_leaves_one_group() -> None:
    assert class_groups([*CATEGORIES, {"id": 9}]) == {"all": [2, 4, 7, 9]}
