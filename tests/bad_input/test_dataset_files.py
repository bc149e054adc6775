"""Files that are missing or can't be read, and classes that differ between data sets."""

import json
from pathlib import Path

import pytest
from bad_input.case import Case, table
from bad_input.small_data import (
    Heads,
    accept,
    changed,
    forget,
    registered,
    setting,
    small_content,
)
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_lvis_instances

from rankdet.engine.checks import check_datasets


def swapped(content):
    content["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]


def third(content):
    content["categories"].append({"id": 3, "name": "bird"})


def with_gap(content):
    content["categories"][1]["id"] = 7
    for one in content["annotations"]:
        one["category_id"] = {1: 1, 2: 7}[one["category_id"]]


CLASS_CASES = [
    Case(
        "classes of the test set in another order",
        changed(swapped),
        "'small' and 'other' have different order of classes: class 0 is 'cat' in the first and "
        "'dog' in the second .2 differ",
    ),
    Case(
        "class of the test set of another name",
        changed(setting("categories", 1, name="wolf")),
        "different names of classes: class 1 is 'dog' in the first and 'wolf' in the second",
    ),
    Case("more classes in the test set", changed(third), "num_classes=2, but .*'other' has 3 cl"),
    Case("other category ids", changed(with_gap), meaning="same names, same order"),
]


@table(CLASS_CASES)
def test_classes_of_all_data_sets_are_compared(case, folder):
    with (
        registered(small_content(), folder) as train,
        registered(case.bad, folder, name="other") as test,
    ):
        if case.meaning:
            check_datasets(Heads(), [train], [test])
            return
        with pytest.raises(ValueError, match=case.sentence):
            check_datasets(Heads(), [train], [test])


MISSING_CASES = [
    Case("own file is missing", "own", r"'own' does not exist: .*the path is the one"),
    Case("built-in file is missing", "coco_2017_val", r"set DETECTRON2_DATASETS .*README"),
]


@table(MISSING_CASES)
def test_missing_annotation_file(case, tmp_path):
    with registered(small_content(), tmp_path, name="own"):
        (tmp_path / "own.json").unlink()
        with pytest.raises(FileNotFoundError, match=case.sentence):
            check_datasets(Heads(), [case.bad], [])


def test_test_set_needs_no_annotations(folder):
    content = changed(lambda c: c.pop("annotations"))
    with registered(content, folder) as name:
        check_datasets(Heads(), [], [name])


def test_unreadable_file_is_named(folder, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    with registered(small_content(), folder) as name:
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(ValueError, match=r"'small' can't be read \(.*Permission denied\)"):
            check_datasets(Heads(), [name], [])


def test_url_that_can_not_be_fetched_is_named(folder):
    with registered(small_content(), folder) as name:
        MetadataCatalog.get(name).__dict__["json_file"] = "http://127.0.0.1:9/a.json"
        with pytest.raises(ValueError, match=r"127\.0\.0\.1:9/a\.json of .* can't be fetched"):
            check_datasets(Heads(), [name], [])


def test_lvis_of_own_classes_by_the_function_for_lvis(folder):
    register_lvis_instances("mine", {}, str(folder / "mine.json"), f"{folder}/")
    (folder / "mine.json").write_text(json.dumps(small_content()))
    with pytest.raises(ValueError, match=r"'No built-in metadata .* by register_coco_instances"):
        check_datasets(Heads(), ["mine"], [])
    forget("mine")


def test_file_can_be_a_folder(tmp_path):
    with registered(small_content(), tmp_path) as name:
        Path(tmp_path, "small.json").unlink()
        Path(tmp_path, "small.json").mkdir()
        with pytest.raises(FileNotFoundError, match=r"does not exist: .*small\.json"):
            accept(name)
