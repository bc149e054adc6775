"""Bad annotation files: a sentence before the training, or what it trains on is what is counted."""

import json
from math import inf, nan

from bad_input.case import Case, table
from bad_input.small_data import (
    CLASSES,
    WIDTH,
    accept,
    changed,
    check_case,
    dropping,
    of_all,
    registered,
    setting,
    small_content,
)

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


@table([*FILE_CASES, *RECORD_CASES, *BOX_CASES])
def test_box_detector(case, folder):
    check_case(case, folder)


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
