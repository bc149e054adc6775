import os

import pytest

from rankdet.data.atomic_file import atomic_file, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a.json"
    with atomic_file(path) as file:
        file.write("ä")
        assert names(tmp_path) == ["a.json.partial"]
    assert path.read_bytes() == "ä".encode()
    assert names(tmp_path) == ["a.json"]


def test_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path, "wb") as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_what_a_killed_writer_leaves_is_replaced(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.json.partial"]
    write_atomically(path, "whole")
    assert names(tmp_path) == ["a.json"]


def test_content_is_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda file: (calls.append("fsync"), fsync(file)))
    monkeypatch.setattr("os.replace", lambda *args: (calls.append("replace"), replace(*args)))
    write_atomically(tmp_path / "a.json", "text")
    assert calls == ["fsync", "replace", "fsync"]
