"""Kinds of masks, and COCO's run lengths decoded as pycocotools encodes them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from rankdet.data.masks import judge_mask, mask_area, run_lengths, valid_polygons

GOOD, LINE, ODD = [0, 0, 5, 0, 5, 5], [0, 0, 5, 5], [0, 0, 5, 0, 5, 5, 1]


@st.composite
def bit_masks(draw: Any) -> Any:
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return (rng.random((height, width)) < draw(st.floats(0, 1))).astype(np.uint8)


@settings(deadline=None)
@given(bit_masks())
def test_run_lengths_are_those_of_pycocotools(pixels: Any) -> None:
    rle = coco_mask.encode(np.asfortranarray(pixels))
    compressed = {"size": list(pixels.shape), "counts": rle["counts"].decode()}
    lengths = run_lengths(compressed)
    flat = np.repeat(np.arange(len(lengths)) % 2, lengths)
    assert np.array_equal(flat.reshape(pixels.shape, order="F"), pixels)
    as_list = {**compressed, "counts": lengths.tolist()}
    assert run_lengths(as_list).tolist() == lengths.tolist()
    assert mask_area(as_list, pixels.shape) == mask_area(compressed, pixels.shape) == pixels.sum()
    kind = "rle" if pixels.any() else "empty"
    assert judge_mask(compressed) == judge_mask(as_list) == (kind, pixels.shape, "")


@given(st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopq~é", max_size=30))
def test_any_text_is_run_lengths_or_damaged(text: str) -> None:
    rle = {"size": [3, 4], "counts": text}
    if judge_mask(rle).kind != "damaged":
        assert coco_mask.decode(rle).sum() == mask_area(rle, (3, 4))


@pytest.mark.parametrize(
    ("mask", "kind", "valid"),
    [
        ([GOOD], "polygons", [GOOD]),
        ([GOOD, LINE, ODD], "partly", [GOOD]),
        ([LINE], "invalid", []),
        ([[]], "invalid", []),
        ([], "none", []),
        ({}, "none", []),
        (None, "none", []),
        ([np.array(GOOD)], "polygons", None),
        ([tuple(GOOD)], "polygons", [tuple(GOOD)]),
    ],
)
def test_kinds(mask: Any, kind: str, valid: Any) -> None:
    assert judge_mask(mask).kind == kind
    if valid is not None:
        assert valid_polygons(mask) == valid


def test_long_outline_of_small_coordinates_is_no_giant() -> None:
    """Its norm is above the limit that each coordinate keeps."""
    assert judge_mask([[9e4, 9e4] * 100]).kind == "polygons"
    assert judge_mask([[9e4, 9e4] * 100 + [2e6, 0.0]]).kind == "damaged"


def test_area_of_overlapping_polygons_counts_pixels_once() -> None:
    square = [0, 0, 4, 0, 4, 4, 0, 4]
    assert mask_area([square, square], (10, 10)) == 16
