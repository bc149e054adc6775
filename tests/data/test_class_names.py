"""The names of classes, of data sets that are loaded and of others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from support.shapes_dataset import CLASSES, forget, make_dicts, register_file, shapes

from rankdet.data.class_names import read_class_names

NAME = "named_shapes"


@pytest.fixture(autouse=True)
def no_data_set_stays() -> Iterator[None]:
    yield
    forget(NAME)


def test_the_file_has_them_before_and_after_it_is_loaded(tmp_path: Path) -> None:
    register_file(NAME, shapes(), tmp_path)
    assert read_class_names(NAME) == list(CLASSES), "by the id, not by the place in the file"
    assert MetadataCatalog.get(NAME).get("thing_classes") is None
    DatasetCatalog.get(NAME)
    assert MetadataCatalog.get(NAME).thing_classes == read_class_names(NAME)


def test_metadata_come_first(tmp_path: Path) -> None:
    register_file(NAME, shapes(), tmp_path, thing_classes=["a", "b", "c"])
    assert read_class_names(NAME) == ["a", "b", "c"]


def test_a_function_may_set_them_when_it_is_called(tmp_path: Path) -> None:
    def load() -> list[Any]:
        MetadataCatalog.get(NAME).thing_classes = ["late", "later", "latest"]
        return make_dicts(shapes(), tmp_path)

    DatasetCatalog.register(NAME, load)
    assert read_class_names(NAME) == ["late", "later", "latest"]


def test_unknown_names_and_data_sets_are_named(tmp_path: Path) -> None:
    DatasetCatalog.register(NAME, lambda: make_dicts(shapes(), tmp_path))
    with pytest.raises(ValueError, match=rf"{NAME}' are unknown; set MetadataCatalog\.get"):
        read_class_names(NAME)
    with pytest.raises(ValueError, match="'named_shape' is not registered; the nearest"):
        read_class_names("named_shape")
