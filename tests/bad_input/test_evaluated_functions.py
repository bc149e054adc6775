"""Data sets by a function, names and predictions that an evaluator can't take."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad_input.case import Case, table
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import ListConfig
from support.judged_shapes import NAME, Record, both, build, judge, perfect, set_fields
from support.shapes_dataset import CLASSES, forget, make_dicts, register_file, shapes

from rankdet.evaluation import RankdetEvaluator


@pytest.fixture(autouse=True)
def no_data_set_stays() -> Iterator[None]:
    yield
    forget(NAME)


def nothing(dicts: list[Record]) -> None:
    """Leave the dicts as they are."""


def in_first_object(**fields: Any) -> Callable[[list[Record]], None]:
    return lambda dicts: set_fields(dicts[0]["annotations"][0], **fields)


def in_images(**fields: Any) -> Callable[[list[Record]], None]:
    def change(dicts: list[Record]) -> None:
        for record in dicts:
            set_fields(record, **fields)

    return change


def masks_as_arrays(dicts: list[Record]) -> None:
    for record in dicts:
        for one in record["annotations"]:
            one["segmentation"] = [np.array(polygon) for polygon in one["segmentation"]]


def numbers_as_arrays(dicts: list[Record]) -> None:
    for record in dicts:
        record["image_id"] = np.int64(record["image_id"])
        for one in record["annotations"]:
            one["bbox"] = np.array(one["bbox"])


def names_as_ids(dicts: list[Record]) -> None:
    for record in dicts:
        record["image_id"] = Path(record["file_name"]).name


FUNCTION_CASES = [
    Case("a function", nothing, None, "Detectron2 converts what it gives"),
    Case("polygons as arrays", masks_as_arrays, None, "Detectron2 takes them, too"),
    Case("ids and boxes as arrays", numbers_as_arrays, None, "Detectron2 takes them, too"),
    Case("file names as ids", names_as_ids, None, "as for Cityscapes"),
    Case("an empty mask of a function", in_first_object(segmentation=[]), None, "a crowd"),
    Case(
        "a function that gives keypoints",
        in_first_object(keypoints=[5.0, 5.0, 2.0]),
        None,
        "they are not scored",
    ),
    Case(
        "a function without images",
        list.clear,
        r"shapes_bad' (lists no images|is empty: its function returns no image)",
    ),
    Case("no height", in_images(height=...), r"shapes_bad' .*'height'"),
    Case("no bbox_mode", in_first_object(bbox_mode=...), r"shapes_bad' .*bbox_mode"),
    Case("no box", in_first_object(bbox=...), r"shapes_bad' .*bbox"),
    Case(
        "a box of two numbers",
        in_first_object(bbox=[1, 2]),
        r"shapes_bad' .*(length 4 or 5|list of 4 numbers)",
    ),
    Case(
        "a mask of pixels",
        in_first_object(segmentation=np.ones((4, 4))),
        r"shapes_bad' .*segmentation",
    ),
]


@table(FUNCTION_CASES)
def test_data_sets_by_a_function(case: Case, tmp_path: Path) -> None:
    MetadataCatalog.get(NAME).thing_classes = list(CLASSES)
    dicts = make_dicts(shapes(), tmp_path)
    case.bad(dicts)
    before = json.dumps(dicts, default=str)
    DatasetCatalog.register(NAME, lambda: dicts)
    if case.sentence:
        with pytest.raises(ValueError, match=case.sentence):
            RankdetEvaluator(NAME, distributed=False)
        return
    evaluator = RankdetEvaluator(NAME, distributed=False)
    assert json.dumps(dicts, default=str) == before
    evaluator.reset()
    for record, image in zip(dicts, shapes()["images"], strict=True):
        evaluator.process([record], [{"instances": perfect(image, shapes())}])
    results = evaluator.evaluate()
    assert results is not None
    assert results["bbox"]["AP"] == results["segm"]["AP"] == pytest.approx(100)


def test_classes_of_a_function_that_nobody_names(tmp_path: Path) -> None:
    DatasetCatalog.register(NAME, partial(make_dicts, shapes(), tmp_path))
    with pytest.raises(ValueError, match=f"classes of dataset '{NAME}' are unknown; set Metadata"):
        RankdetEvaluator(NAME, distributed=False)
    MetadataCatalog.get(NAME).thing_classes = list(CLASSES)
    assert RankdetEvaluator(NAME, distributed=False)


NAME_CASES = [
    Case("a list of one", [NAME], None, "as Detectron2's configs write it"),
    Case("a list of one from a config", ListConfig([NAME]), None, "as its name"),
    Case("a list of two", [NAME, "other"], r"\['shapes_bad', 'other'\]; .* one data set"),
    Case("a list of none", [], r"dataset_name is \[\]; an evaluator scores one data set"),
    Case("no name", None, "dataset_name is None; give the name of a data set"),
    Case("a number", 5, "dataset_name is 5; give the name"),
]


@table(NAME_CASES)
def test_name_of_the_data_set(case: Case, tmp_path: Path) -> None:
    content = shapes()
    register_file(NAME, content, tmp_path)
    if case.sentence:
        with pytest.raises(ValueError, match=case.sentence):
            RankdetEvaluator(case.bad, distributed=False)
        return
    results = judge(content, RankdetEvaluator(case.bad, distributed=False))
    assert results is not None
    assert results["bbox"]["AP"] == pytest.approx(100)


def test_model_without_instances(tmp_path: Path) -> None:
    _, evaluator = build(both(), tmp_path)
    evaluator.reset()
    with pytest.raises(ValueError, match="predicts 'sem_seg' and no 'instances'"):
        evaluator.process([{"image_id": 1}], [{"sem_seg": torch.zeros(1)}])


def test_part_of_the_images(tmp_path: Path, log: Any) -> None:
    content, evaluator = build(both(), tmp_path)
    results = judge({**content, "images": content["images"][:3]}, evaluator)
    assert "given only 3 of the 6 images of dataset 'shapes_bad'" in log.text
    assert results is not None
    assert results["bbox"]["AP"] < 60
