"""The benchmarks are listed, run by name, and measure what they claim to."""

from pathlib import Path

import pytest

from rankdet.data import read_annotations
from rankdet.tools.benchmark import lvis_like_data
from rankdet.tools.benchmark.__main__ import BENCHMARKS, main
from rankdet.tools.benchmark.lvis_like_data import NUM_CATEGORIES, write_lvis_sized_file


def test_help_lists_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    listed = capsys.readouterr().out.splitlines()
    for name in BENCHMARKS:
        assert any(line.startswith(name) and len(line) > len(name) + 10 for line in listed)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_after_a_name_is_about_its_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert f"usage: python -m rankdet.tools.benchmark {name} [-h]" in printed
    assert printed.count("--") > 1


def test_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nope"])
    assert "there is no benchmark 'nope'" in capsys.readouterr().err


def test_class_stats_prints_both_calls_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(lvis_like_data, "NUM_IMAGES", 2000)
    main(["class_stats", "--instances", "500"])
    printed = capsys.readouterr().out
    for name in ("json.loads alone", "class_counts, first call", "class_counts, second call"):
        assert name in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_file_of_lvis_size_is_valid_and_long_tailed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lvis_like_data, "NUM_IMAGES", 2000)
    path = tmp_path / "annotations.json"
    write_lvis_sized_file(path, num_instances=12_000)
    content = read_annotations(path)
    assert len(content["images"]) == 2000
    assert len(content["categories"]) == NUM_CATEGORIES
    assert len(content["annotations"]) == 12_000
    assert all(len(a["segmentation"][0]) >= 6 for a in content["annotations"])
    per_class = [0] * NUM_CATEGORIES
    for annotation in content["annotations"]:
        per_class[annotation["category_id"] - 1] += 1
    per_class.sort()
    assert sum(per_class[-120:]) > 0.5 * 12_000  # a tenth of the classes has most instances
