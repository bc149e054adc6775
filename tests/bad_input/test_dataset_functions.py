"""Data sets registered by a function: wrong dicts get a sentence that names the image."""

import copy
from math import nan
from pathlib import Path

import numpy as np
import pytest
from bad_input.case import Case, table
from bad_input.small_data import (
    CLASSES,
    HEIGHT,
    WIDTH,
    Heads,
    accept,
    balloons,
    forget,
    mapper_config,
)
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from pycocotools import mask as coco_mask

from rankdet.data import instance_counts
from rankdet.data.registered import load_dicts
from rankdet.engine.checks import check_datasets
from rankdet.tools.dataset import main

GOOD = [0, 0, 9, 0, 9, 9]
FULL = coco_mask.encode(np.ones((HEIGHT, WIDTH), np.uint8, order="F"))


@pytest.fixture
def register():
    """Registers a function as Detectron2's tutorial does, for the time of a test."""
    names = []

    def register(function, name="balloon_train", classes=CLASSES):
        DatasetCatalog.register(name, function)
        if classes is not None:
            MetadataCatalog.get(name).thing_classes = classes
        names.append(name)
        return name

    yield register
    for name in names:
        forget(name)


def image(**fields):
    return lambda dicts: dicts[1].update(fields)


def without(field):
    return lambda dicts: dicts[1].pop(field)


def thing(**fields):
    return lambda dicts: dicts[1]["annotations"][0].update(fields)


def thing_without(field):
    return lambda dicts: dicts[1]["annotations"][0].pop(field)


IMAGE_CASES = [
    Case("no images", lambda dicts: dicts.clear(), "'balloon_train' is empty: its function"),
    Case("image is no dict", lambda dicts: dicts.append(7), "returns a list with 7 in it; it must"),
    Case("no file name", without("file_name"), "Image 1 of .* has None as 'file_name'"),
    Case("file name is a path object", image(file_name=Path("2.png")), "Path.* as 'file_name'"),
    Case("no height", without("height"), r"Image 1 .*2\.png\) has None as 'height'"),
    Case("no width", without("width"), r"Image 1 .*2\.png\) has None as 'width'"),
    Case("height of 0", image(height=0), "has 0 as 'height'; it must be a positive integer"),
    Case("width is a fraction", image(width=40.0), "has 40.0 as 'width'"),
    Case("no image id", without("image_id"), r"Image 1 .* has None as 'image_id'"),
    Case("image id is a list", image(image_id=[2]), r"has \[2\] as 'image_id'"),
    Case("two images of one id", image(image_id=1), "Images 0 and 1 .* the same image_id 1"),
    Case(
        "some without annotations", without("annotations"), "differs from the first one in having"
    ),
    Case("annotations are None", image(annotations=None), "has None as 'annotations'; it must be"),
    Case("annotation is a list", image(annotations=[[1]]), r"has \[\[1\]\] as 'annotations'"),
    Case("image without objects", image(annotations=[]), meaning="background"),
    Case("image ids are names", image(image_id="b.png"), meaning="as Cityscapes has"),
]
OBJECT_CASES = [
    Case(
        "no box mode", thing_without("bbox_mode"), r"image 1 .*2\.png\) has bbox_mode None; it mu"
    ),
    Case("box mode is text", thing(bbox_mode="XYXY"), "bbox_mode 'XYXY'"),
    Case("relative boxes", thing(bbox_mode=BoxMode.XYXY_REL), "bbox_mode <BoxMode.XYXY_REL"),
    Case("box mode is a list", thing(bbox_mode=[0]), r"bbox_mode \[0\]"),
    Case("no box", thing_without("bbox"), "bbox None; it must be a list of 4 numbers"),
    Case("box of three", thing(bbox=[1, 2, 3]), r"bbox \[1, 2, 3\]; it must be a list of 4"),
    Case("box is text", thing(bbox="1234"), "bbox '1234'; it must be a list"),
    Case("box of texts", thing(bbox=["1"] * 4), "finite numbers of at most 1,000,000"),
    Case("box with NaN", thing(bbox=[0, 0, nan, 9]), "finite numbers of at most 1,000,000"),
    Case("box of 1e308", thing(bbox=[0, 0, 1e308, 9]), "finite numbers of at most 1,000,000"),
    Case(
        "edges exchanged", thing(bbox=[9, 0, 0, 9]), "of negative width or height; check its bbox"
    ),
    Case(
        "negative height", thing(bbox=[1, 1, 5, -5], bbox_mode=BoxMode.XYWH_ABS), "negative width"
    ),
    Case("box of width 0", thing(bbox=[4, 4, 4, 9]), meaning="left out"),
    Case("box is an array", thing(bbox=np.array([0, 0, 4.0, 9])), meaning="four numbers"),
    Case(
        "no class", thing_without("category_id"), "category_id None; it must be an integer in 0 .."
    ),
    Case("class is text", thing(category_id="dog"), "category_id 'dog'; it must be an integer"),
    Case("class is a fraction", thing(category_id=0.5), "category_id 0.5"),
    Case("class beyond the last", thing(category_id=2), r"category_id 2; .* in 0 \.\. 1"),
    Case("class below the first", thing(category_id=-1), "category_id -1"),
    Case("class of NumPy", thing(category_id=np.int64(1)), meaning="an integer"),
    Case("crowd mark is text", thing(iscrowd="no"), "iscrowd 'no'"),
    Case("crowd", thing(iscrowd=1), meaning="left out"),
    Case("mask is text", thing(segmentation="abc"), "can't be read: it must be a list of polygons"),
    Case("polygon is flat", thing(segmentation=GOOD), "can't be read: its polygon is written flat"),
    Case(
        "RLE is a list", thing(segmentation={"size": [HEIGHT, WIDTH], "counts": [0, 1280]}), "list"
    ),
    Case(
        "RLE is transposed",
        thing(segmentation={"size": [WIDTH, HEIGHT], "counts": [0, 1280]}),
        "of",
    ),
    Case(
        "RLE is cut", thing(segmentation={**FULL, "counts": FULL["counts"][:-1]}), "damaged|add up"
    ),
    Case("mask is an array", thing(segmentation=np.ones((32, 40))), "must be a list of polygons"),
]
MASK_CASES = [
    Case(
        "no mask", thing_without("segmentation"), "1 objects without a mask, the first is in .*2.p"
    ),
    Case(
        "odd polygon", thing(segmentation=[[*GOOD, 1]]), "1 objects with a polygon of an odd number"
    ),
    Case(
        "one polygon of two is odd", thing(segmentation=[GOOD, [1, 2, 3]]), "1 objects with a poly"
    ),
    Case("polygon is an array", thing(segmentation=[np.array(GOOD)]), meaning="a list of numbers"),
]
RETURN_CASES = [
    Case("returns nothing", lambda: None, "returns a NoneType; it must return a list of dicts"),
    Case("returns a dict", lambda: {"images": []}, "returns a dict; it must return a list"),
    Case(
        "reads a missing file", lambda: open("/no/via.json"), r"'balloon_train' .*: /no/via\.json"
    ),
]


def check(case, folder, register, masks=False):
    dicts = balloons(folder)
    case.bad(dicts)
    name = register(lambda: copy.deepcopy(dicts))
    if case.sentence:
        with pytest.raises(ValueError, match=case.sentence):
            accept(name, masks)
    else:
        assert accept(name, masks) == instance_counts(name).tolist(), case.meaning


@table([*IMAGE_CASES, *OBJECT_CASES])
def test_box_detector(case, folder, register):
    check(case, folder, register)


@table(MASK_CASES)
def test_mask_detector(case, folder, register):
    check(case, folder, register, masks=True)


@table(RETURN_CASES)
def test_what_the_function_does(case, register):
    name = register(case.bad)
    with pytest.raises((ValueError, FileNotFoundError), match=case.sentence):
        check_datasets(Heads(), [name], [])


def test_run_lengths_of_pycocotools_for_bit_masks(folder, register):
    dicts = balloons(folder)
    thing(segmentation=FULL)(dicts)
    name = register(lambda: copy.deepcopy(dicts))
    assert accept(name, masks=True, mask_format="bitmask") == [1, 1]
    with pytest.raises(
        ValueError, match=r"1 masks as run lengths \(RLE\), the first is in .*2\.png"
    ):
        accept(name, masks=True)


def test_every_reader_of_the_dicts_gets_the_sentence(folder, register):
    dicts = balloons(folder)
    thing_without("bbox_mode")(dicts)
    name = register(lambda: dicts, classes=None)
    with pytest.raises(ValueError, match=r"image 1 .*2\.png\) has bbox_mode None"):
        load_dicts(name)


CLASS_CASES = [
    Case("no class names", None, "classes of dataset 'balloon_val' are unknown; set Metadata"),
    Case("class names in another order", CLASSES[::-1], "'balloon_val' have different order"),
    Case("class names are one string", "cat", "thing_classes of .*'balloon_val' is 'cat'; it must"),
    Case("class names are numbers", [0, 1], r"is \[0, 1\]; it must be a list of strings"),
    Case("one more class", [*CLASSES, "bird"], "num_classes=2, but data set 'balloon_val' has 3"),
]


@table(CLASS_CASES)
def test_classes_of_the_metadata(case, folder, register):
    train = register(lambda: balloons(folder))
    test = register(lambda: balloons(folder), "balloon_val", case.bad)
    with pytest.raises(ValueError, match=case.sentence):
        check_datasets(Heads(), [train], [test], mapper_config(masks=False))


def test_missing_image_is_found_at_the_start(folder, register):
    dicts = balloons(folder)
    image(file_name="/no/2.png")(dicts)
    name = register(lambda: copy.deepcopy(dicts))
    with pytest.raises(ValueError, match=r"1 of the 2 images .* /no/2\.png does not exist"):
        accept(name)


def test_test_images_need_no_annotations(folder, register):
    dicts = [{k: v for k, v in one.items() if k != "annotations"} for one in balloons(folder)]
    name = register(lambda: dicts)
    check_datasets(Heads(), [], [name])
    with pytest.raises(ValueError, match="no object to train on: it has no annotations"):
        check_datasets(Heads(), [name], [])


@pytest.mark.parametrize("command", ["describe", "draw", "check"])
def test_tools_take_them(command, folder, register, tmp_path, capsys):
    name = register(lambda: balloons(folder))
    main([command, name, *(["--output", str(tmp_path / "x.png")] if command == "draw" else [])])
    assert capsys.readouterr().out
