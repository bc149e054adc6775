"""Counts per category are kept on disk for as long as the annotation file stays the same."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdet.data import file_counts as module
from rankdet.data.file_counts import FileCounts, file_counts
from rankdet.data.trained_objects import CROWD


def content(pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """Annotations of these (image, category) ids."""
    return {
        "images": [{"id": i} for i in (1, 2, 900_000_000_000)],
        "categories": [{"id": i, "name": f"class {i}"} for i in (30, 2, 11)],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": [0, 0, 1, 1]}
            for i, (image, category) in enumerate(pairs, start=1)
        ],
    }


PAIRS = [(1, 2), (1, 2), (2, 2), (900_000_000_000, 30)]
COUNTS = FileCounts(
    [2, 11, 30],
    ["class 2", "class 11", "class 30"],
    [2, 0, 1],
    [3, 0, 1],
    {},
    {"none": [4, 1]},
    False,
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANKDET_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content(PAIRS)))
    return path


def count_parses(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    parses: list[Path] = []
    read = module.read_with_judged_masks

    def counted(path: Path, **kwargs: Any) -> dict[str, Any]:
        parses.append(path)
        return read(path, **kwargs)

    monkeypatch.setattr(module, "read_with_judged_masks", counted)
    return parses


def test_counts_images_and_instances(path: Path) -> None:
    assert file_counts(path) == COUNTS


def test_image_ids_can_be_file_names(path: Path) -> None:
    named = content(PAIRS)
    for record in named["images"]:
        record["id"] = f"{record['id']}.png"
    for record in named["annotations"]:
        record["image_id"] = f"{record['image_id']}.png"
    path.write_text(json.dumps(named))
    assert file_counts(path) == COUNTS


def test_crowds_are_left_out(path: Path) -> None:
    crowded = content([*PAIRS, (2, 11)])
    crowded["annotations"][-1]["iscrowd"] = 1
    path.write_text(json.dumps(crowded))
    counts = file_counts(path)
    assert counts.left_out == {CROWD: [1, 5]}
    assert counts._replace(left_out={}) == COUNTS


def test_second_call_does_not_read_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parses = count_parses(monkeypatch)
    assert file_counts(path) == file_counts(path) == COUNTS
    assert len(parses) == 1


@pytest.mark.parametrize("change", ["size", "time"])
def test_changed_file_is_counted_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    parses = count_parses(monkeypatch)
    file_counts(path)
    time_ns = path.stat().st_mtime_ns
    if change == "size":
        path.write_text(json.dumps(content(PAIRS[1:])))
        os.utime(path, ns=(time_ns, time_ns))
        assert file_counts(path).instances == [2, 0, 1]
    else:
        os.utime(path, ns=(time_ns, time_ns + 1))
        assert file_counts(path) == COUNTS
    assert len(parses) == 2


@pytest.mark.parametrize("damage", ["", '{"category_ids": [1]}', "[]", "null", b"\xff"])
def test_damaged_cache_is_replaced(path: Path, tmp_path: Path, damage: str | bytes) -> None:
    file_counts(path)
    (cache_file,) = (tmp_path / "cache").iterdir()
    good = cache_file.read_bytes()
    cache_file.write_bytes(damage.encode() if isinstance(damage, str) else damage)
    assert file_counts(path) == COUNTS
    assert cache_file.read_bytes() == good
    assert list((tmp_path / "cache").iterdir()) == [cache_file]


def test_cache_with_lists_of_unequal_length_is_not_trusted(path: Path, tmp_path: Path) -> None:
    file_counts(path)
    (cache_file,) = (tmp_path / "cache").iterdir()
    cache_file.write_text(json.dumps({**COUNTS._asdict(), "images": [1]}))
    assert file_counts(path) == COUNTS


def test_unwritable_cache_is_only_a_warning(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert file_counts(path) == COUNTS
    assert "can't be kept" in caplog.text


def test_failed_write_leaves_nothing_behind(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert file_counts(path) == COUNTS
    assert "No space left" in caplog.text
    assert list((tmp_path / "cache").iterdir()) == []


def test_default_cache_lies_in_the_home_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANKDET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    file_counts(path)
    assert len(list((tmp_path / ".cache" / "rankdet").iterdir())) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 900_000_000_000]), st.sampled_from([2, 11, 30])),
        max_size=30,
    )
)
def test_counts_equal_a_plain_loop(pairs: list[tuple[int, int]]) -> None:
    counts = module._count(content(pairs), "FILE", "other")
    for category, images, instances in zip(
        counts.category_ids, counts.images, counts.instances, strict=True
    ):
        assert instances == sum(c == category for _, c in pairs)
        assert images == len({i for i, c in pairs if c == category})
