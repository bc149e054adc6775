"""Bad image files: one sentence before the training, which names the first few."""

import io
import logging
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from bad_input.case import Case, table
from bad_input.small_data import (
    HEIGHT,
    WIDTH,
    Heads,
    accept,
    changed,
    registered,
    setting,
    small_content,
    write_small_images,
)
from detectron2.utils import comm
from PIL import Image

from rankdet.data import image_files
from rankdet.data.image_files import check_images
from rankdet.engine.checks import check_datasets


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RANKDET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "small"
    folder.mkdir()
    write_small_images(folder)
    return folder


def encoded(size=(WIDTH, HEIGHT), kind="PNG", mode="RGB", **options):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind, **options)
    return file.getvalue()


def turned(size):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(size, "JPEG", exif=exif)


def deep():
    file = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 5000, np.uint16)).save(file, "PNG")
    return file.getvalue()


def giant():
    """The header of a PNG of 400 million pixels."""
    head = bytearray(encoded())
    head[16:24] = (20_000).to_bytes(4, "big") * 2
    head[29:33] = zlib.crc32(bytes(head[12:29])).to_bytes(4, "big")
    return bytes(head)


PNG, JPEG = encoded(), encoded(kind="JPEG")
HEADER_CASES = [
    Case("image is missing", None, r"1 of the 2 images .*'small' can't be used: .*2\.png does not"),
    Case("image is empty", b"", r"2\.png can't be read \(the file is empty\)"),
    Case("image is text", b"<html>404</html>", r"can't be read \(it is no image, or its beginning"),
    Case("PNG is cut in its header", PNG[:20], r"2\.png can't be read"),
    Case("JPEG is cut in its header", JPEG[:30], r"2\.png can't be read"),
    Case("image of another size", encoded((50, 20)), r"2\.png has 50 x 20 pixels, not 40 x 32"),
    Case("height and width exchanged", encoded((HEIGHT, WIDTH)), "has 32 x 40 pixels, not 40 x 32"),
    Case("turned by its EXIF", turned((WIDTH, HEIGHT)), "has 32 x 40 pixels, not 40 x 32"),
    Case(
        "400 million pixels", giant(), r"can't be read \(.*400000000 pixels\).*decompression bomb"
    ),
    Case("EXIF turns it to its size", turned((HEIGHT, WIDTH)), meaning="Detectron2 turns it, too"),
    Case("EXIF is damaged", encoded(kind="JPEG", exif=b"Exif\0\0junk"), meaning="ignored"),
    Case("JPEG called PNG", JPEG, meaning="the content decides"),
    Case("gray image", encoded(mode="L"), meaning="becomes color"),
    Case("palette image", encoded(mode="P"), meaning="becomes color"),
    Case("black and white image", encoded(mode="1"), meaning="becomes color"),
    Case("transparent image", encoded(mode="RGBA"), meaning="transparency is dropped"),
    Case("CMYK image", encoded(kind="JPEG", mode="CMYK"), meaning="becomes RGB"),
]
DECODE_CASES = [
    Case(
        "PNG is cut in its pixels", PNG[: len(PNG) // 2], r"2\.png can't be read \(.*truncat|broken"
    ),
    Case("JPEG is cut in its pixels", JPEG[: len(JPEG) // 2], r"2\.png can't be read \(.*truncat"),
    Case("whole image", PNG, meaning="decoded"),
]


def replace(folder, content):
    for path in (folder / "2.png", folder / "images/2.png"):
        path.unlink()
        if content is not None:
            path.write_bytes(content)


@table(HEADER_CASES)
def test_headers_are_checked_at_the_start(case, folder):
    replace(folder, case.bad)
    with registered(small_content(), folder) as name:
        if case.sentence:
            with pytest.raises(ValueError, match=case.sentence):
                accept(name)
        else:
            assert sum(accept(name)) == 3, case.meaning


@table(DECODE_CASES)
def test_pixels_are_read_on_request(case, folder):
    replace(folder, case.bad)
    with registered(small_content(), folder) as name:
        assert check_images(name).bad == []
        if case.sentence:
            with pytest.raises(ValueError, match=case.sentence):
                check_images(name, decode=True)
        else:
            assert check_images(name, decode=True).bad == [], case.meaning


def test_image_can_be_a_folder(folder):
    replace(folder, None)
    (folder / "2.png").mkdir()
    with (
        registered(small_content(), folder) as name,
        pytest.raises(ValueError, match=r"2\.png can"),
    ):
        accept(name)


@pytest.mark.parametrize("file", ["\0.png", "", "a" * 5000])
def test_names_that_no_file_can_have(folder, file):
    content = changed(setting("images", 1, file_name=file))
    with registered(content, folder) as name, pytest.raises(ValueError, match="1 of the 2 images"):
        accept(name)


def test_lvis_images_are_looked_for_where_detectron2_does(folder):
    (folder / "images/2.png").unlink()
    with registered(small_content(), folder, "lvis") as name:
        with pytest.raises(ValueError, match=r"images/2\.png does not exist"):
            accept(name)


def test_deep_images_are_legal_but_said(folder, caplog):
    replace(folder, deep())
    with registered(small_content(), folder) as name:
        for _ in range(2):
            check_datasets(Heads(), [name], [])
    messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    said = [one for one in messages if "more than 8 bits" in one]
    assert len(said) == 2
    assert "1 images of dataset 'small'" in said[0]
    assert r"2.png (mode I;16)" in said[0]


def test_first_few_of_many_are_named(folder):
    content = changed(
        lambda c: c["images"].extend(
            {**c["images"][0], "id": number, "file_name": f"{number}.png"}
            for number in range(5, 25)
        )
    )
    with registered(content, folder) as name:
        with pytest.raises(ValueError, match=r"20 of the 22 .*5\.png.*6\.png.*7\.png .*; \.\.\."):
            check_images(name)


@pytest.fixture
def looks(monkeypatch):
    """Files that were opened."""
    looks: list[str] = []
    look = image_files._look_at
    monkeypatch.setattr(
        image_files,
        "_look_at",
        lambda one, decode: looks.append(one["file_name"]) or look(one, decode),
    )
    return looks


def test_check_is_made_once_per_version(folder, looks):
    with registered(small_content(), folder) as name:
        check_images(name)
        check_images(name)
        assert len(looks) == 2
        check_images(name, decode=True)
        assert len(looks) == 4
    with registered(changed(setting("images", 0, license=1)), folder) as name:
        check_images(name)
    assert len(looks) == 6


def test_removed_image_is_noticed_after_a_success(folder):
    with registered(small_content(), folder) as name:
        check_images(name)
        (folder / "2.png").unlink()
        os.utime(folder, (1, 1))
        with pytest.raises(ValueError, match=r"2\.png does not exist"):
            check_images(name)


@pytest.mark.parametrize("noted", ["[]", '{"folders": {}}', '{"folders": 3, "deep": []}', "{"])
def test_damaged_note_does_not_count(folder, looks, noted):
    with registered(small_content(), folder) as name:
        check_images(name)
        for file in (folder.parent / "cache").glob("images_*"):
            file.write_text(noted)
        check_images(name)
    assert len(looks) == 4


def test_check_can_be_left_out(folder, looks, monkeypatch):
    replace(folder, None)
    monkeypatch.setenv("RANKDET_CHECK_IMAGES", "0")
    with registered(small_content(), folder) as name:
        check_datasets(Heads(), [name], [])
    assert looks == []


def test_other_processes_wait_for_the_main_one_and_fail_with_it(folder, looks, monkeypatch):
    Path(folder, "2.png").unlink()
    error = (ValueError, "what the main process found")
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "all_gather", lambda own: [error, own])
    with registered(small_content(), folder) as name:
        with pytest.raises(ValueError, match="what the main process found"):
            check_datasets(Heads(), [name], [])
    assert looks == []
