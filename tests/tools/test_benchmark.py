"""The benchmarks are listed, run by name, and measure what they claim to."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from rankdet.data import read_annotations
from rankdet.tools.benchmark import interleaved, iteration, pcb_iteration, ranking_iteration
from rankdet.tools.benchmark.__main__ import BENCHMARKS, main
from rankdet.tools.benchmark.lvis_sized_file import (
    NUM_CATEGORIES,
    NUM_IMAGES,
    write_lvis_sized_file,
)


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


@pytest.mark.parametrize("name", ["iteration", "pcb_iteration", "ranking_iteration"])
def test_one_iteration_has_no_quartiles(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([name, "--iterations", "1"])
    assert "'1' is no whole number of 2 or more" in capsys.readouterr().err


def test_class_stats_prints_both_calls_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    main(["class_stats", "--instances", "500"])
    printed = capsys.readouterr().out
    for name in ("json.loads alone", "class_counts, first call", "class_counts, second call"):
        assert name in printed
    assert list(tmp_path.iterdir()) == []


def test_file_of_lvis_size_is_valid_and_long_tailed(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    write_lvis_sized_file(path, num_instances=12_000)
    content = read_annotations(path)
    assert len(content["images"]) == NUM_IMAGES
    assert len(content["categories"]) == NUM_CATEGORIES
    assert len(content["annotations"]) == 12_000
    assert all(len(a["segmentation"][0]) >= 6 for a in content["annotations"])
    per_class = [0] * NUM_CATEGORIES
    for annotation in content["annotations"]:
        per_class[annotation["category_id"] - 1] += 1
    per_class.sort()
    assert sum(per_class[-120:]) > 0.5 * 12_000  # a tenth of the classes has most instances


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on pairs of small glyphs: to draw all of the large ones would take most of the time."""

    def load_batches(cfg: DictConfig) -> list[Any]:
        cfg.dataloader.train.dataset.names = "glyphs_smoke_train"
        cfg.dataloader.train.total_batch_size = 2
        return interleaved.load_batches(cfg)

    for module in (iteration, pcb_iteration, ranking_iteration):
        monkeypatch.setattr(module, "load_batches", load_batches)


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_iteration_compares_every_loss_with_detectron2(capsys: pytest.CaptureFixture[str]) -> None:
    main(["iteration", "--iterations", "2", "--classes", "36"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    ratios = {row[1]: row for row in rows if row[0] == "36"}
    assert set(ratios) == {"Detectron2", "softmax", "sigmoid", "ECM"}
    assert ratios["Detectron2"][3] == "1.000"


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_ranking_iteration_compares_every_ranking_loss_with_softmax(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["ranking_iteration", "--iterations", "2"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    names = [row[0] for row in rows[-7:]]
    assert names == ["softmax", "AP", "BAP", "aLRP", "NDCG", "RS", "BRS"]
    assert rows[-7][3] == "1.000"


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
def test_pcb_iteration_compares_pcb_with_each_base_loss(capsys: pytest.CaptureFixture[str]) -> None:
    main(["pcb_iteration", "--iterations", "2", "--classes", "36"])
    lines = capsys.readouterr().out.splitlines()[-6:]
    names = ["softmax", "softmax + PCB", "EQL v2", "EQL v2 + PCB", "Seesaw", "Seesaw + PCB"]
    assert all(line.startswith(name + "  ") for line, name in zip(lines, names, strict=True))
    assert [line.split()[-4] for line in lines[::2]] == ["1.000"] * 3
