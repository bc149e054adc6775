"""Bad annotation files: a sentence before the training, or what it trains on is what is counted."""

import json
from math import inf, nan
from pathlib import Path

import pytest
from bad_input.case import Case, table
from bad_input.small_data import (
    CLASSES,
    HEIGHT,
    WIDTH,
    Heads,
    accept,
    changed,
    dropping,
    forget,
    mapper_config,
    of_all,
    registered,
    setting,
    small_content,
    write_small_images,
)
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_lvis_instances

from rankdet.data import instance_counts
from rankdet.engine.checks import check_datasets

GOOD = [[0, 0, 9, 0, 9, 9]]
FULL_RLE = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
EMPTY_RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKDET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    write_small_images(folder)
    return folder


def check(case, folder, masks=False, mask_format="polygon", reader="coco"):
    """The sentence comes, or Detectron2 trains on exactly what is counted."""
    with registered(case.bad, folder, reader) as name:
        if case.sentence:
            with pytest.raises(ValueError, match=case.sentence):
                accept(name, masks, mask_format)
        else:
            trained = accept(name, masks, mask_format)
            assert trained == instance_counts(name).tolist(), case.meaning


TEXT = json.dumps(small_content())
FILE_CASES = [
    Case("file is empty", "", r"'small' is not valid JSON .*small\.json \(0 bytes\) is cut"),
    Case("file is binary", b"\xff\xfe\x00\x01", "not valid JSON"),
    Case("file is cut", TEXT[:-50], r"not valid JSON \(.*char \d+\)"),
    Case("file begins with a byte order mark", "\ufeff" + TEXT, "not valid JSON .*BOM"),
    Case("file is nested a million deep", "[" * 10**6, "not valid JSON .*recursion"),
    Case("number of five thousand digits", TEXT.replace("40", "4" * 5000, 1), "not valid JSON"),
    Case("file holds a list", "[1, 2]", "has no list 'images'"),
    Case("images are missing", changed(lambda c: c.pop("images")), "has no list 'images'"),
    Case(
        "categories are a dict",
        changed(lambda c: c.update(categories={"1": "cat"})),
        "has no list 'categories'",
    ),
    Case(
        "annotations are null",
        changed(lambda c: c.update(annotations=None)),
        r'has no list \'annotations\'.*is "annotations": \[\]',
    ),
    Case("no categories", changed(lambda c: c.update(categories=[], annotations=[])), "lists no c"),
    Case(
        "no annotations in a training set",
        changed(lambda c: c.pop("annotations")),
        "'small' has no object to train on: it has no annotations",
    ),
    Case("no images", changed(lambda c: c.update(images=[], annotations=[])), "no object to train"),
]

RECORD_CASES = [
    Case("image is no object", changed(lambda c: c["images"].append(7)), "is 7; it must be a JSON"),
    Case("annotation is null", changed(lambda c: c["annotations"].append(None)), "is None; it mus"),
    Case("image without id", changed(dropping("images", 0, "id")), "images .* has None as 'id'"),
    Case("image id is a fraction", changed(setting("images", 0, id=1.5)), "has 1.5 as 'id'"),
    Case("image id beyond 64 bits", changed(setting("images", 0, id=2**64)), f"has {2**64} as"),
    Case("two images of one id", changed(setting("images", 1, id=1)), "Id 1 occurs 2 times"),
    Case("two annotations of one id", changed(of_all("annotations", id=4)), "Id 4 occurs 3 times"),
    Case("two categories of one id", changed(of_all("categories", id=2)), "Id 2 occurs 2 times"),
    Case(
        "annotation of no image",
        changed(setting("annotations", 1, image_id=9)),
        "Annotation 2 of .* has the image_id 9, which is not among the file's 2 images",
    ),
    Case(
        "annotation of no category",
        changed(setting("annotations", 1, category_id=9)),
        "Annotation 2 of .* has the category_id 9, which is not among the file's 2 categories",
    ),
    Case("category id is text", changed(setting("categories", 0, id="1")), "has '1' as 'id'"),
    Case(
        "category id of an annotation is true",
        changed(setting("annotations", 0, category_id=True)),
        "has True as 'category_id'",
    ),
    Case("category without name", changed(dropping("categories", 1, "name")), "Category 2 .* None"),
    Case("name is a number", changed(setting("categories", 0, name=5)), "Category 1 .* has 5 as"),
    Case(
        "two classes of one name",
        changed(setting("categories", 0, name="dog")),
        meaning="they stay two classes",
    ),
    Case("image without height", changed(dropping("images", 0, "height")), "1 .* has no 'height'"),
    Case("image without width", changed(dropping("images", 1, "width")), "2 .* has no 'width'"),
    Case("height is 0", changed(setting("images", 0, height=0)), "Image 1 .* has 0 as 'height'"),
    Case("width is negative", changed(setting("images", 0, width=-4)), "has -4 as 'width'"),
    Case("height is text", changed(setting("images", 0, height="32")), "has '32' as 'height'"),
    Case("width is a fraction", changed(setting("images", 0, width=40.5)), "has 40.5 as 'width'"),
    Case("height is null", changed(setting("images", 0, height=None)), "has None as 'height'"),
    Case("image without file", changed(dropping("images", 0, "file_name")), "None as 'file_name'"),
    Case("file name is a number", changed(setting("images", 0, file_name=1)), "1 as 'file_name'"),
    Case(
        "absent classes are no list",
        changed(setting("images", 0, neg_category_ids=3)),
        "Image 1 .* has 3 as 'neg_category_ids'; it must be a list",
    ),
    Case(
        "classes not searched for are names",
        changed(setting("images", 0, not_exhaustive_category_ids=["cat"])),
        r"has \['cat'\] as 'not_exhaustive_category_ids'",
    ),
    Case("crowd mark is text", changed(setting("annotations", 0, iscrowd="no")), "'no' as 'iscrow"),
    Case("crowd mark is null", changed(setting("annotations", 0, iscrowd=None)), "None as 'iscrow"),
    Case("crowd mark is 2", changed(setting("annotations", 0, iscrowd=2)), "has 2 as 'iscrowd'"),
    Case(
        "no crowd marks",
        changed(*(dropping("annotations", i, "iscrowd") for i in range(3))),
        meaning="no object is a group",
    ),
    Case(
        "all are crowds",
        changed(of_all("annotations", iscrowd=1)),
        r"no object to train on: of its annotations are 3 groups of objects \(iscrowd\)",
    ),
    Case("area is NaN", changed(setting("annotations", 0, area=nan)), "has nan as 'area'"),
    Case("area is negative", changed(setting("annotations", 0, area=-1)), "has -1 as 'area'"),
    Case("area is text", changed(setting("annotations", 0, area="80")), "has '80' as 'area'"),
    Case(
        "no areas",
        changed(*(dropping("annotations", i, "area") for i in range(3))),
        meaning="they follow from masks or boxes",
    ),
    Case("area is null", changed(of_all("annotations", area=None)), meaning="as if it was missing"),
    Case("ignored object", changed(setting("annotations", 0, ignore=1)), "has 1 as 'ignore'"),
    Case(
        "keypoints are text",
        changed(setting("annotations", 0, keypoints="nose")),
        "has 'nose' as 'keypoints'",
    ),
    Case(
        "keypoints in pairs",
        changed(setting("annotations", 0, keypoints=[1, 2])),
        r"has \[1, 2\] as 'keypoints'",
    ),
]


def box(value):
    return changed(setting("annotations", 1, bbox=value))


BOX_CASES = [
    Case("no box", changed(dropping("annotations", 1, "bbox")), "2 of .* has None as 'bbox'"),
    Case("box of three numbers", box([1, 2, 3]), r"Annotation 2 of .* has \[1, 2, 3\] as 'bbox'"),
    Case("empty box", box([]), r"has \[\] as 'bbox'"),
    Case("box is text", box("1 2 3 4"), "has '1 2 3 4' as 'bbox'"),
    Case("box of texts", box(["1", "2", "3", "4"]), r"has \['1', '2', '3', '4'\] as"),
    Case("box with null", box([1, 2, None, 4]), "None, 4"),
    Case("box with true", box([1, 2, True, 4]), "True, 4"),
    Case("box is nested", box([[1, 2, 3, 4]]), "has .* as 'bbox'"),
    Case("box with NaN", box([nan, 2, 3, 4]), "has .nan, 2, 3, 4. as 'bbox'"),
    Case("infinite box", box([0, 0, inf, 4]), "finite numbers"),
    Case("box of 1e308", box([0, 0, 1e308, 4]), "none above 1,000,000 pixels"),
    Case("box at -1e308", box([-1e308, 0, 4, 4]), "none above 1,000,000 pixels"),
    Case("box of negative width", box([5, 5, -3, 4]), "width and height not negative"),
    Case("box of width 0", box([5, 5, 0, 4]), meaning="left out"),
    Case("box of a millionth of a pixel", box([5, 5, 1e-6, 4]), meaning="left out"),
    Case("box right of the image", box([WIDTH, 0, 5, 5]), meaning="left out"),
    Case("box above the image", box([0, -9, 5, 5]), meaning="left out"),
    Case("box half outside", box([-5, -5, 10, 10]), meaning="cut at the border"),
    Case(
        "all boxes are points",
        changed(of_all("annotations", bbox=[3, 3, 0, 0])),
        "no object to train on: of its annotations are 3 with a box of width or height 0",
    ),
    Case(
        "all boxes are outside",
        changed(of_all("annotations", bbox=[50, 50, 4, 4])),
        "no object to train on: of its annotations are 3 with a box outside of the image",
    ),
]


def mask(value):
    return changed(setting("annotations", 1, segmentation=value))


DAMAGED = "mask .'segmentation'. of annotation 2 of .* can't be read: "
MASK_CASES = [
    Case("mask is text", mask("0 0 9 0 9 9"), DAMAGED + "it must be a list of polygons, or run l"),
    Case("mask is a number", mask(5), DAMAGED + "it must be a list of polygons"),
    Case("mask is a flag", mask(False), DAMAGED + "it must be a list of polygons"),
    Case("polygon is written flat", mask(GOOD[0]), DAMAGED + "its polygon is written flat"),
    Case("polygon of points", mask([[[0, 0], [9, 0], [9, 9]]]), DAMAGED + "each of its polygons"),
    Case("polygon is text", mask(["0,0,9,0"]), DAMAGED + "each of its polygons must be a list"),
    Case("polygon of texts", mask([["0"] * 6]), DAMAGED + "each of its polygons must be a list"),
    Case("polygon with null", mask([[0, 0, None, 0, 9, 9]]), DAMAGED + "each of its polygons"),
    Case("polygon with NaN", mask([[0, 0, nan, 0, 9, 9]]), DAMAGED + ".*finite coordinates"),
    Case("infinite polygon", mask([[0, 0, inf, 0, 9, 9]]), DAMAGED + ".*finite coordinates"),
    Case("polygon of 1e308", mask([[0, 0, 1e308, 0, 9, 9]]), DAMAGED + ".*at most 1,000,000"),
    Case("RLE without size", mask({"counts": [1280]}), DAMAGED + ".*need 'size'"),
    Case("RLE without counts", mask({"size": [HEIGHT, WIDTH]}), DAMAGED + ".*need 'counts'"),
    Case("RLE of another size", mask({"size": [4, 4], "counts": [0, 16]}), "4 x 4 .* has 32 x 40"),
    Case(
        "RLE with width before height",
        mask({"size": [WIDTH, HEIGHT], "counts": [0, 1280]}),
        r"40 x 32 pixels, but its image has 32 x 40 \(height x width\)",
    ),
    Case("RLE of a negative size", mask({"size": [-32, -40], "counts": [1280]}), "need 'size'"),
    Case("RLE that is too short", mask({**FULL_RLE, "counts": [3, 4]}), "add up to 32 x 40"),
    Case("RLE that is too long", mask({**FULL_RLE, "counts": [0, 9999]}), "add up to 32 x 40"),
    Case("RLE of a negative length", mask({**FULL_RLE, "counts": [1290, -10]}), "add up to"),
    Case("RLE of fractions", mask({**FULL_RLE, "counts": [0.5, 1279.5]}), "must be integers"),
    Case("RLE of huge lengths", mask({**FULL_RLE, "counts": [2**70]}), "must be integers"),
    Case("RLE of other letters", mask({**FULL_RLE, "counts": "ü!"}), "text .* is damaged"),
    Case("RLE whose text is cut", mask({**FULL_RLE, "counts": "0P"}), "text .* is damaged"),
    Case("RLE whose text is short", mask({**FULL_RLE, "counts": "0"}), "add up to 32 x 40"),
    Case("RLE of a number", mask({**FULL_RLE, "counts": 5}), "need 'counts', a list"),
    Case("mask of an odd polygon", mask([[0, 0, 9, 0, 9, 9, 3]]), meaning="object left out"),
    Case("mask of a line", mask([[0, 0, 9, 9]]), meaning="object left out"),
    Case("mask of nothing", mask([[]]), meaning="object left out"),
    Case("one polygon of two is odd", mask([*GOOD, [1, 2, 3]]), meaning="the other one stays"),
]

BOX_MODEL_CASES = [
    Case("no mask", changed(dropping("annotations", 1, "segmentation")), meaning="boxes need none"),
    Case("mask is null", mask(None), meaning="boxes need none"),
    Case("mask is empty", mask([]), meaning="boxes need none"),
    Case("mask is an empty dict", mask({}), meaning="boxes need none"),
    Case("RLE for a box detector", mask(FULL_RLE), meaning="boxes need no mask"),
    Case("RLE without foreground", mask(EMPTY_RLE), meaning="boxes need no mask"),
]

MASK_MODEL_CASES = [
    Case(
        "mask missing for a mask model",
        changed(dropping("annotations", 1, "segmentation")),
        "trains masks, but .*'small' has 1 objects without a mask, the first is 2; .*mask_in_feat",
    ),
    Case(
        "no mask and no box for a mask model",
        changed(
            dropping("annotations", 1, "segmentation"), setting("annotations", 1, bbox=[0] * 4)
        ),
        "1 objects without a mask, the first is 2",
    ),
    Case("boxes only for a mask model", changed(of_all("annotations", segmentation=[])), "3 objec"),
    Case(
        "RLE for polygons",
        mask(FULL_RLE),
        r"1 masks as run lengths \(RLE\), the first is 2, .*instance_mask_format=bitmask",
    ),
]
BITMASK_CASES = [
    Case("RLE for bit masks", mask(FULL_RLE), meaning="trained on"),
    Case("polygons and RLE for bit masks", mask(GOOD), meaning="trained on"),
    Case("empty RLE for a mask model", mask(EMPTY_RLE), "1 objects with an empty mask"),
    Case(
        "RLE of a crowd",
        changed(setting("annotations", 1, segmentation=FULL_RLE, iscrowd=1)),
        meaning="left out",
    ),
]

LVIS_CASES = [
    Case("LVIS file", small_content(), meaning="what the others are made of"),
    Case("LVIS without URL", changed(dropping("images", 0, "coco_url")), "None as 'coco_url'"),
    Case("LVIS URL without folder", changed(setting("images", 0, coco_url="1.png")), "FOLDER/FILE"),
    Case("LVIS without masks", changed(of_all("annotations", segmentation=[])), "1 of .* is missi"),
    Case("LVIS with RLE", mask(FULL_RLE), "2 of .* is given as run lengths .* only polygons"),
    Case("LVIS with an odd polygon", mask([*GOOD, [1, 2, 3]]), "2 of .* is in part a polygon"),
    Case("LVIS with a line", mask([[0, 0, 9, 9]]), "2 of .* is a polygon with an odd number"),
    Case("LVIS without annotations", changed(lambda c: c.pop("annotations")), "no list 'annotati"),
    Case(
        "LVIS with a crowd",
        changed(setting("annotations", 1, iscrowd=1)),
        meaning="Detectron2's reader of LVIS knows no crowds: it is trained on, and counted",
    ),
]


@table([*FILE_CASES, *RECORD_CASES, *BOX_CASES, *MASK_CASES, *BOX_MODEL_CASES])
def test_box_detector(case, folder):
    check(case, folder)


@table([*MASK_CASES, *MASK_MODEL_CASES])
def test_mask_detector(case, folder):
    check(case, folder, masks=True)


@table(BITMASK_CASES)
def test_mask_detector_of_bit_masks(case, folder):
    check(case, folder, masks=True, mask_format="bitmask")


@table(LVIS_CASES)
def test_lvis(case, folder):
    check(case, folder, reader="lvis")


def test_mapper_without_masks_for_a_mask_model(folder):
    with registered(small_content(), folder) as name:
        with pytest.raises(ValueError, match=r"mapper leaves them out; set .*use_instance_mask=T"):
            check_datasets(Heads(mask_on=True), [name], [], mapper_config(masks=False))
        check_datasets(Heads(mask_on=True), [name], [])


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


def test_one_warning_names_what_is_left_out(folder, caplog):
    """The counts of a user's file were 3, 5, 10 where 3, 0, 10 were trained on."""
    content = changed(
        setting("annotations", 0, segmentation=[[1, 2, 3]]),
        setting("annotations", 1, bbox=[3, 3, 0, 5]),
    )
    with registered(content, folder) as name:
        assert accept(name) == [0, 1]
        warning = next(r.getMessage() for r in caplog.records if "does not train on" in r.msg)
    assert "does not train on 2 of 3 annotations, and they are not counted: 1 with a box" in warning
    assert "width or height 0, the first is 2; 1 without a polygon" in warning
    assert "at least 3 points, the first is 1" in warning


def test_training_counts_are_by_class(folder):
    assert CLASSES == ["cat", "dog"]
    with registered(small_content(), folder) as name:
        assert accept(name, masks=True) == [1, 2]


def test_file_can_be_a_folder(tmp_path):
    with registered(small_content(), tmp_path) as name:
        Path(tmp_path, "small.json").unlink()
        Path(tmp_path, "small.json").mkdir()
        with pytest.raises(FileNotFoundError, match=r"does not exist: .*small\.json"):
            accept(name)
