"""Odd picture files: read for what they mean, or left out with a sentence."""

import struct
import zlib

import numpy as np
import pytest
from bad_input.case import Case, table
from PIL import Image

from rankdet.tools.pictures import read_picture
from rankdet.tools.predict import predict_images

GRAY16 = np.array([[0, 256, 32896, 65535]], dtype=np.uint16)
COLOR = np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)
RED, GREEN = [255, 0, 0], [0, 255, 0]


def png_of_size(width, height):
    """The head of a PNG, which says its size, without the pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT"


def transparent_palette():
    image = Image.fromarray(COLOR).convert("P", palette=Image.Palette.ADAPTIVE)
    image.info["transparency"] = b"\x00\xff"
    return image


def save(image, path):
    options = {"transparency": image.info["transparency"]} if image.info.get("transparency") else {}
    image.save(path, **options)


def gray(values, dtype):
    return Image.fromarray(np.array([values], dtype=dtype))


def rgb(values):
    return [[[value] * 3 for value in values]]


DAMAGED_CASES = [
    Case("text", b"no picture", "a.png can't be read as a picture: cannot identify"),
    Case("empty file", b"", "can't be read as a picture"),
    Case("cut PNG", png_of_size(9, 9), "can't be read as a picture"),
    Case("400 million pixels", png_of_size(20_000, 20_000), "400000000 pixels"),
]
KIND_CASES = [
    Case("16-bit gray", (Image.fromarray(GRAY16), "a.png", rgb([0, 1, 128, 255])), meaning="/257"),
    Case("16-bit TIFF", (Image.fromarray(GRAY16), "a.tif", rgb([0, 1, 128, 255])), meaning="/257"),
    Case(
        "32-bit integers",
        (gray([-100, 155, 410], np.int32), "a.tif", rgb([0, 128, 255])),
        meaning="scaled from least to largest, with a warning",
    ),
    Case(
        "floats",
        (gray([0, 500, 1000], np.float32), "a.tif", rgb([0, 128, 255])),
        meaning="scaled from least to largest, with a warning",
    ),
    Case(
        "floats in the range of bytes",
        (gray([0, 7, 255], np.float32), "a.tif", rgb([0, 7, 255])),
        meaning="as they are",
    ),
    Case("one bit", (gray([0, 255], np.uint8).convert("1"), "a.png",
                     rgb([0, 255])), meaning="black and white"),
    Case("gray and alpha", (Image.new("LA", (1, 1), (9, 0)), "a.png", rgb([9])),
         meaning="no alpha"),
    Case("color and alpha", (Image.new("RGBA", (1, 1), (*RED, 0)), "a.png", [[RED]]),
         meaning="no alpha"),
    Case("transparent palette", (transparent_palette(), "a.png", None), meaning="its colors"),
    Case("CMYK", (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "a.tif", [[RED]]), meaning="RGB"),
    Case("color", (Image.fromarray(COLOR), "a.png", [[RED, GREEN]]), meaning="as it is"),
]  # fmt: skip


@table(DAMAGED_CASES)
def test_what_cannot_be_read_gets_a_sentence(case, tmp_path):
    (tmp_path / "a.png").write_bytes(case.bad)
    with pytest.raises(ValueError, match=case.sentence):
        read_picture(tmp_path / "a.png")


@table(DAMAGED_CASES)
def test_predict_goes_on_and_says_which_are_left_out(case, tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(case.bad)
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    files[1].write_bytes(case.bad)
    with pytest.raises(ValueError, match=r"2 of 2 pictures .* left out: .*a\.png, .*b\.png"):
        predict_images(None, files, tmp_path / "drawn")
    assert "b.png can't be read as a picture" in caplog.text


@table(KIND_CASES)
def test_kinds_of_pictures_are_read_for_what_they_mean(case, tmp_path, recwarn):
    image, name, expected = case.bad
    save(image, tmp_path / name)
    expected = COLOR if expected is None else expected
    np.testing.assert_array_equal(read_picture(tmp_path / name), np.array(expected, dtype=np.uint8))
    assert not recwarn.list


def test_a_large_picture_is_read_without_a_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").shape == (10, 10, 3)
    assert not recwarn.list
