import json
import os

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from rankdet.tools import analysis_file
from rankdet.tools.analysis_file import read_kept, write_analysis

NAMES = ["analyzed", "glyphs_smoke_train"]


@pytest.fixture
def annotations(tmp_path):
    """The annotation file of a data set."""
    path = tmp_path / "annotations.json"
    path.write_text("{}")
    DatasetCatalog.register(NAMES[0], list)
    MetadataCatalog.get(NAMES[0]).json_file = str(path)
    yield path
    DatasetCatalog.remove(NAMES[0])
    MetadataCatalog.remove(NAMES[0])


@pytest.fixture
def path(annotations, tmp_path):
    path = tmp_path / "analysis" / "errors.json"
    write_analysis(path, {"AP": 1.0}, NAMES)
    return path


def test_a_file_is_kept_while_nothing_changes(path):
    assert read_kept(path, NAMES)["AP"] == 1.0
    assert [file.name for file in path.parent.iterdir()] == ["errors.json"]


def test_changed_annotations_make_it_stale(path, annotations):
    before = annotations.stat()
    annotations.write_text("[]")
    os.utime(annotations, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_kept(path, NAMES), "size and time are the same"
    os.utime(annotations, ns=(before.st_atime_ns, before.st_mtime_ns - 1))
    assert read_kept(path, NAMES) is None
    annotations.write_text("{ }")
    os.utime(annotations, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_kept(path, NAMES) is None


def test_another_rankdet_or_data_set_makes_it_stale(path, monkeypatch):
    assert read_kept(path, NAMES[:1]) is None
    monkeypatch.setattr(analysis_file, "ANALYSIS_VERSION", analysis_file.ANALYSIS_VERSION + 1)
    assert read_kept(path, NAMES) is None


@pytest.mark.parametrize("text", ["", '{"AP": ', json.dumps({"AP": 1.0}), None])
def test_missing_damaged_and_older_files_are_not_kept(path, text):
    path.write_text(text) if text is not None else path.unlink()
    assert read_kept(path, NAMES) is None
