"""Bad masks in annotation files, for detectors of boxes and of masks."""

from math import inf, nan

import pytest
from bad_input.case import Case, table
from bad_input.small_data import (
    HEIGHT,
    WIDTH,
    Heads,
    changed,
    check_case,
    dropping,
    mapper_config,
    of_all,
    registered,
    setting,
    small_content,
)

from rankdet.engine.checks import check_datasets

GOOD = [[0, 0, 9, 0, 9, 9]]
FULL_RLE = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
EMPTY_RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}


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


@table([*MASK_CASES, *BOX_MODEL_CASES])
def test_box_detector(case, folder):
    check_case(case, folder)


@table([*MASK_CASES, *MASK_MODEL_CASES])
def test_mask_detector(case, folder):
    check_case(case, folder, masks=True)


@table(BITMASK_CASES)
def test_mask_detector_of_bit_masks(case, folder):
    check_case(case, folder, masks=True, mask_format="bitmask")


@table(LVIS_CASES)
def test_lvis(case, folder):
    check_case(case, folder, reader="lvis")


def test_mapper_without_masks_for_a_mask_model(folder):
    with registered(small_content(), folder) as name:
        with pytest.raises(ValueError, match=r"mapper leaves them out; set .*use_instance_mask=T"):
            check_datasets(Heads(mask_on=True), [name], [], mapper_config(masks=False))
        check_datasets(Heads(mask_on=True), [name], [])
