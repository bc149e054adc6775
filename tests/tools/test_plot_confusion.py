import json

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig
from matplotlib.figure import Figure
from PIL import Image
from support.smoke_run import smoke_config

from rankdet.modeling.calibration import ConfusionStatistics, save_statistics
from rankdet.tools import plot_confusion
from rankdet.tools.plot_confusion import main

C = 10
FILE = "calibration_glyphs_smoke_val.pth"


def write_run(folder, *, num_classes=C, metrics=()):
    """A run as the tool sees it: config, metrics and statistics, no weights."""
    folder.mkdir(parents=True)
    LazyConfig.save(smoke_config(folder), str(folder / "config.yaml"))
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    matrix = torch.eye(num_classes).add(0.01).softmax(dim=1)
    save_statistics(folder / FILE, ConfusionStatistics(matrix, torch.ones(num_classes).long()))
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """What is passed on to the drawing, which draws nothing."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        return Figure((1, 1))

    monkeypatch.setattr(plot_confusion, "plot_confusion_matrices", record)
    return calls


def bias(iteration, value, prefix=""):
    return {"iteration": iteration, f"{prefix}roi_head/pairwise_bias": value}


def test_draws_two_runs_and_says_where_and_which_has_no_curve(tmp_path, drawn, capsys):
    base = write_run(tmp_path / "base", metrics=[{"iteration": 5, "loss_cls": 1.0}])
    pcb = write_run(tmp_path / "pcb", metrics=[bias(0, 0.5), {"iteration": 1}, bias(4, 0.25)])
    output = tmp_path / "pictures" / "confusion.png"
    main([str(base), str(pcb), "--output", str(output)])
    ((runs, classes, counts, dataset),) = drawn
    assert [(run.name, run.curve) for run in runs] == [("base", {}), ("pcb", {0: 0.5, 4: 0.25})]
    assert {run.num_iterations for run in runs} == {6}
    assert len(classes.names) == len(counts) == C and dataset == "glyphs_smoke_val"
    printed = capsys.readouterr().out
    assert f"No curve of {base}" in printed and f"No curve of {pcb}" not in printed
    assert printed.endswith(f"Wrote {output}.\n")


@pytest.mark.slow
def test_picture_has_many_colors(tmp_path):
    main([str(write_run(tmp_path / "run")), "--output", str(tmp_path / "confusion.png")])
    pixels = np.asarray(Image.open(tmp_path / "confusion.png")).reshape(-1, 4)
    assert len(np.unique(pixels[::7], axis=0)) > 100


def test_curve_of_a_resumed_cascade_is_the_last_stages(tmp_path, drawn):
    lines = [
        bias(0, 9.0, "stage0/") | bias(0, 1.0, "stage2/"),
        bias(20, 8.0, "stage2/"),  # Repeated after the resume.
        bias(40, 7.0, "stage2/"),
        bias(20, 2.0, "stage2/"),
    ]
    run = write_run(tmp_path / "run", metrics=lines)
    main([str(run), "--output", str(tmp_path / "confusion.png")])
    assert list(drawn[0][0][0].curve.items()) == [(0, 1.0), (20, 2.0), (40, 7.0)]


def test_runs_of_the_same_name_are_told_apart(tmp_path, drawn):
    folders = [write_run(tmp_path / group / "seed0") for group in ("base", "pcb")]
    main([*map(str, folders), "--output", str(tmp_path / "confusion.png")])
    assert [run.name for run in drawn[0][0]] == ["base/seed0", "pcb/seed0"]


def test_missing_statistics_are_told_how_to_collect(tmp_path):
    run = write_run(tmp_path / "run")
    command = f"`python -m rankdet.tools.collect_confusion {run} --dataset glyphs_smoke_train`"
    with pytest.raises(SystemExit, match=r"glyphs_smoke_train\.pth does not exist") as error:
        main([str(run), "--dataset", "glyphs_smoke_train", "--output", str(tmp_path / "c.png")])
    assert command in str(error.value)


def test_statistics_of_another_number_of_classes(tmp_path):
    run = write_run(tmp_path / "run", num_classes=3)
    with pytest.raises(SystemExit, match="has 3 classes, but 'glyphs_smoke_val' has 10"):
        main([str(run), "--output", str(tmp_path / "confusion.png")])


def test_no_run(tmp_path):
    with pytest.raises(SystemExit, match=r"no config\.yaml"):
        main([str(tmp_path), "--output", str(tmp_path / "confusion.png")])
