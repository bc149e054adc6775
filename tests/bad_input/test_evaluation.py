"""Annotation files that an evaluator can't judge, or in part: it says so when it is built."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_input.case import Case, table
from support.judged_shapes import (
    NAME,
    both,
    build,
    each,
    empty,
    federate,
    first,
    judge,
    one_class,
    perfect,
    rle_masks,
    uncompressed_masks,
    without,
)
from support.shapes_dataset import CATEGORY_IDS, SIDE, forget, shapes


@pytest.fixture(autouse=True)
def no_data_set_stays() -> Iterator[None]:
    yield
    forget(NAME)


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
        (
            federate([]),
            ALL,
            "confusions cost nothing and AP comes out far too high.*remove the key",
        ),
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
