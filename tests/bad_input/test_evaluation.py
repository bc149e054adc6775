"""Data sets that an evaluator can't judge, or judges in part: it says so when it is built."""

import json
import logging
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad_input.case import Case, table
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from omegaconf import ListConfig
from pycocotools import mask as coco_mask
from shapes_fixture import (
    CATEGORY_IDS,
    SIDE,
    forget,
    make_dicts,
    register_file,
    register_function,
    shapes,
)

from rankdet.evaluation import RankdetEvaluator

Record = dict[str, Any]
NAME = "shapes_bad"


@pytest.fixture(autouse=True)
def no_data_set_stays() -> Iterator[None]:
    yield
    forget(NAME)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("rankdet"), "propagate", True)
    caplog.set_level(logging.INFO, "rankdet")
    return caplog


# ---------------------------------------------------------------- changes of annotations


def each(kind: str, **fields: Any) -> Callable[[Record], None]:
    """Set fields of all records of a kind; `...` deletes one."""

    def change(content: Record) -> None:
        for record in content[kind]:
            set_fields(record, **fields)

    return change


def first(kind: str, **fields: Any) -> Callable[[Record], None]:
    return lambda content: set_fields(content[kind][0], **fields)


def set_fields(record: Record, **fields: Any) -> None:
    for key, value in fields.items():
        if value is ...:
            record.pop(key, None)
        else:
            record[key] = value


def both(*changes: Callable[[Record], None]) -> Callable[[Record], None]:
    def change(content: Record) -> None:
        for one in changes:
            one(content)

    return change


def without(key: str) -> Callable[[Record], None]:
    return lambda content: content.pop(key)


def empty(key: str) -> Callable[[Record], None]:
    return lambda content: content.update({key: []})


def federate(negatives: list[int], of_first: Any = None) -> Callable[[Record], None]:
    def change(content: Record) -> None:
        for image in content["images"]:
            image.update(neg_category_ids=negatives, not_exhaustive_category_ids=[])
        if of_first is not None:
            set_fields(content["images"][0], **of_first)

    return change


def one_class(content: Record) -> None:
    content["categories"] = content["categories"][-1:]
    for one in content["annotations"]:
        one["category_id"] = content["categories"][0]["id"]


def rle_masks(content: Record) -> None:
    for one in content["annotations"]:
        one["segmentation"] = coco_mask.frPyObjects(one["segmentation"], SIDE, SIDE)[0]
        one["segmentation"]["counts"] = one["segmentation"]["counts"].decode()


def uncompressed_masks(content: Record) -> None:
    for one in content["annotations"]:
        mask = coco_mask.decode(coco_mask.frPyObjects(one["segmentation"], SIDE, SIDE))[..., 0]
        flat = mask.flatten(order="F")
        edges = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
        counts = np.diff(edges, prepend=0).tolist()
        one["segmentation"] = {"size": [SIDE, SIDE], "counts": counts}


# ---------------------------------------------------------------- predictions


def perfect(image: Record, content: Record) -> Instances:
    """What the (unchanged) annotations say, boxes and masks."""
    found = [one for one in shapes()["annotations"] if one["image_id"] == image["id"]]
    boxes = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = sorted(category["id"] for category in content["categories"])
    by_name = {c["id"]: ids.index(c["id"]) for c in content["categories"]}
    masks = torch.zeros(len(found), SIDE, SIDE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return Instances(
        (SIDE, SIDE),
        pred_boxes=Boxes(boxes),
        pred_classes=torch.tensor([by_name.get(one["category_id"], 0) for one in found]),
        scores=torch.linspace(0.9, 0.8, len(found)),
        pred_masks=masks,
    )


def judge(content: Record, evaluator: RankdetEvaluator) -> Record | None:
    evaluator.reset()
    for image in content["images"]:
        output = {"instances": perfect(image, content)}
        evaluator.process([{"image_id": image["id"]}], [output])
    return evaluator.evaluate()


def build(change: Callable[[Record], None], folder: Path, **arguments: Any) -> tuple[Record, Any]:
    content = shapes()
    change(content)
    register_file(NAME, content, folder)
    return content, RankdetEvaluator(NAME, distributed=False, **arguments)


# ---------------------------------------------------------------- files that are refused

MASKS_TOO = {"tasks": ("bbox", "segm")}

REFUSED_CASES = [
    Case("no image at all", (both(empty("images"), empty("annotations")), {}), "lists no images"),
    Case("no category", (both(empty("categories"), empty("annotations")), {}), "no categories"),
    Case("no list of categories", (without("categories"), {}), "has no list 'categories'"),
    Case(
        "category ids are strings",
        (both(each("categories", id="1"), empty("annotations")), {}),
        r"categories of .* has '1' as 'id'",
    ),
    Case(
        "masks are asked for, none is there",
        (each("annotations", segmentation=...), MASKS_TOO),
        r"Annotation 1 has no 'segmentation'.*tasks=\(\"bbox\",\)",
    ),
    Case(
        "boundaries are asked for, all masks are empty",
        (each("annotations", segmentation=[]), {"tasks": ("boundary",)}),
        "Annotation 1 has no 'segmentation'",
    ),
    Case(
        "masks are judged in an image of unknown size",
        (first("images", height=..., width=...), MASKS_TOO),
        "Image 1 has no height",
    ),
    Case(
        "federated without not_exhaustive_category_ids",
        (federate([7], {"not_exhaustive_category_ids": ...}), {}),
        "Entry 1 of the images has no 'not_exhaustive_category_ids'",
    ),
    Case(
        "federated in some images only",
        (federate([7], {"neg_category_ids": ...}), {}),
        "Entry 1 of the images has no 'neg_category_ids'",
    ),
    Case(
        "frequency of some classes only",
        (first("categories", frequency="r"), {}),
        "of the categories has no 'frequency'.*or to none",
    ),
    Case(
        "frequency in words",
        (each("categories", frequency="rare"), {}),
        "Category 40 has the frequency 'rare'; give 'r'",
    ),
    Case("keypoints as a task", (both(), {"tasks": ("keypoints",)}), "give a list of some of"),
]


@table(REFUSED_CASES)
def test_what_can_not_be_judged_is_refused_before_any_inference(case: Case, tmp_path: Path) -> None:
    change, arguments = case.bad
    with pytest.raises(ValueError, match=case.sentence):
        build(change, tmp_path, **arguments)


# ---------------------------------------------------------------- files that are judged in part


ALL, BOXES, NONE = ("bbox", "segm"), ("bbox",), ()
LACKING = "1 of 12 annotations .* no mask, the first is annotation 1: boxes are scored; for masks"

LEGAL_CASES = [
    Case("no area", (each("annotations", area=...), ALL, ""), None, "it follows from the mask"),
    Case("area is null", (each("annotations", area=None), ALL, ""), None, "as without it"),
    Case(
        "neither area nor mask",
        (each("annotations", area=..., segmentation=...), BOXES, "only boxes are scored"),
        None,
        "it follows from the box",
    ),
    Case("no iscrowd", (each("annotations", iscrowd=...), ALL, ""), None, "no object is a crowd"),
    Case(
        "an empty mask among good ones",
        (first("annotations", segmentation=[]), ALL, LACKING),
        None,
        "for masks the object is a crowd",
    ),
    Case(
        "a mask that is null among good ones",
        (first("annotations", segmentation=None), ALL, LACKING),
        None,
        "for masks the object is a crowd",
    ),
    Case(
        "a missing mask among good ones",
        (first("annotations", segmentation=...), ALL, LACKING),
        None,
        "for masks the object is a crowd",
    ),
    Case(
        "a polygon of two points among good ones",
        (first("annotations", segmentation=[[1, 1, 9, 9]]), ALL, LACKING),
        None,
        "Detectron2 does not read it either: as without a mask",
    ),
    Case("run lengths", (rle_masks, ALL, ""), None, "masks in another form"),
    Case("lists of run lengths", (uncompressed_masks, ALL, ""), None, "masks in another form"),
    Case(
        "crowds only",
        (each("annotations", iscrowd=1), NONE, "All 12 annotations .* every metric is nan"),
        None,
        "there is no object to be found",
    ),
    Case(
        "a federated file that names no absent class",
        (federate([]), ALL, "confusions cost nothing and AP is far too high.*remove neg_category"),
        None,
        "scored by LVIS's rules, with a warning",
    ),
    Case(
        "absent classes that the file does not have",
        (federate([7777]), ALL, ""),
        None,
        "nothing can be predicted of them",
    ),
    Case("one class", (one_class, ALL, ""), None, "scored as any number"),
    Case(
        "keypoints",
        (each("annotations", keypoints=[1, 1, 2], num_keypoints=1), ALL, ""),
        None,
        "boxes and masks are scored, keypoints are not",
    ),
    Case("names of classes are missing", (each("categories", name=...), ALL, ""), None, "ids do"),
    Case(
        "an image without objects",
        (lambda c: c["images"].append({**c["images"][0], "id": 99}), ALL, ""),
        None,
        "the model finds nothing there, which is right",
    ),
]


@table(LEGAL_CASES)
def test_what_can_be_scored_is_scored_and_the_rest_is_said(
    case: Case, tmp_path: Path, log: Any
) -> None:
    change, tasks, warning = case.bad
    content, evaluator = build(change, tmp_path)
    built = log.text
    results = judge(content, evaluator)
    assert results is not None
    scored = [task for task in ALL if task in results and not math.isnan(results[task]["AP"])]
    assert scored == list(tasks)
    for task in tasks:
        assert results[task]["AP"] == pytest.approx(100), task
    warnings = [record.message for record in log.records if record.levelname == "WARNING"]
    assert len(warnings) == bool(warning), warnings
    if warning:
        assert re.search(warning, log.text)
        # What only the predictions show comes later.
        assert re.search(warning, built) or warning == "only boxes are scored"


# ---------------------------------------------------------------- files without annotations

TEST_FILE_CASES = [
    Case("no list of annotations", (without("annotations"), "coco"), None, "a challenge's file"),
    Case("an empty list of annotations", (empty("annotations"), "coco"), None, "as without"),
    Case(
        "no annotations, federated",
        (both(federate([7]), without("annotations")), "lvis"),
        None,
        "the file is LVIS's",
    ),
]


@table(TEST_FILE_CASES)
def test_predictions_are_written_where_nothing_can_be_scored(
    case: Case, tmp_path: Path, log: Any
) -> None:
    change, style = case.bad
    content, evaluator = build(change, tmp_path, output_dir=str(tmp_path / "out"))
    assert f"Dataset '{NAME}' has no annotations: predictions are written" in log.text
    assert judge(content, evaluator) == {}
    assert f"Nothing can be scored: dataset '{NAME}'" in log.text
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == f"{style}_instances_results.json"
    written = json.loads(path.read_text())
    assert len(written) == 12
    assert {one["category_id"] for one in written} == {*CATEGORY_IDS}
    assert all(set(one) >= {"image_id", "bbox", "score", "segmentation"} for one in written)


# ---------------------------------------------------------------- data sets by a function


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
    Case("a function without images", list.clear, "lists no images"),
    Case("no height", in_images(height=...), "converted to COCO's format .KeyError: 'height'"),
    Case("no bbox_mode", in_first_object(bbox_mode=...), "KeyError: 'bbox_mode'"),
    Case("no box", in_first_object(bbox=...), "KeyError: 'bbox'"),
    Case("a box of two numbers", in_first_object(bbox=[1, 2]), "length 4 or 5"),
    Case("a mask of pixels", in_first_object(segmentation=np.ones((4, 4))), "segmentation type"),
]


@table(FUNCTION_CASES)
def test_data_sets_by_a_function(case: Case, tmp_path: Path) -> None:
    register_function(NAME, shapes(), tmp_path)
    DatasetCatalog.remove(NAME)
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
    MetadataCatalog.get(NAME).thing_classes = ["red", "green", "blue"]
    assert RankdetEvaluator(NAME, distributed=False)


# ---------------------------------------------------------------- names and predictions

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


def test_mask_on_an_object_without_one_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    """A wrong detection of the class, ranked below, still costs: only the object's own is free."""
    content, evaluator = build(first("annotations", segmentation=[]), tmp_path)
    results = judge(content, evaluator)
    assert results is not None
    assert results["segm"]["AP"] == results["bbox"]["AP"] == pytest.approx(100)
    evaluator.reset()
    for image in content["images"]:
        instances = perfect(image, content)
        if image["id"] == 1:  # Away from the object: now it is wrong, in masks, too.
            instances.pred_masks[0] = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            instances.pred_masks[0, 60:, 60:] = True
        evaluator.process([{"image_id": image["id"]}], [{"instances": instances}])
    results = evaluator.evaluate()
    assert results is not None
    assert results["segm"]["AP"] < 100 == pytest.approx(results["bbox"]["AP"])


def test_area_of_the_mask_decides_the_size(tmp_path: Path) -> None:
    """With boxes alone, too, where masks are not kept."""
    tall = [[0, 0, 63, 0, 0, 63]]  # The box is "medium" (over 32 x 32); half of it is, too.
    thin = [[0, 0, 63, 0, 63, 2]]

    def areas(mask: list[list[int]], tasks: tuple[str, ...] | None) -> Any:
        forget(NAME)
        change = each("annotations", segmentation=mask, bbox=[0, 0, 63, 63], area=...)
        _, evaluator = build(change, tmp_path, tasks=tasks)
        results = judge(shapes(), evaluator)
        assert results is not None
        return [math.isnan(results["bbox"][f"AP{size}"]) for size in "sm"]

    for tasks in (None, ("bbox",)):
        assert areas(tall, tasks) == [True, False]
        assert areas(thin, tasks) == [False, True]
