import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from matplotlib.figure import Figure
from PIL import Image
from support.smoke_run import CONFIG, ROOT, smoke_config

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.training import build_model
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss
from rankdet.tools import visualize
from rankdet.tools.visualize import main, metrics_table

METRICS = {"AP": 41.25, "AP50": 70.0, "AP75": 40.0, "APs": 1.0, "APr": None, "APc": 3.0, "APf": 9.0}


def write_run(folder, **predictor):
    """A run that ended before it has learned anything."""
    cfg = smoke_config(folder)
    cfg.model.roi_heads.box_predictor.update(predictor)
    torch.manual_seed(0)
    Checkpointer(build_model(cfg), str(folder)).save("model_final")
    LazyConfig.save(cfg, str(folder / "config.yaml"))
    (folder / "results.json").write_text(json.dumps({"bbox": METRICS, "segm": METRICS}))
    return folder


@pytest.fixture(scope="module")
def ecm_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("ecm"))


@pytest.fixture
def run(ecm_run, tmp_path):
    """A copy to change."""
    return Path(shutil.copytree(ecm_run, tmp_path / "run"))


def has_colors(path):
    return len(np.unique(np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3), axis=0)) > 100


def test_prints_metrics_and_where_the_pictures_are(ecm_run, capsys):
    main([str(ecm_run), "--num-images", "1"])
    lines = capsys.readouterr().out.splitlines()
    pictures = [ecm_run / "pictures" / name for name in ("predictions.png", "margins.png")]
    assert lines[-3:] == ["The pictures are:", *(f"  {path}" for path in pictures)]
    assert lines[2].split() == ["boxes", "41.2", "70.0", "40.0", "3.0", "9.0"]
    assert all(has_colors(path) for path in pictures)


def test_other_losses_have_no_margins_plot_and_that_is_said(tmp_path, capsys):
    run = write_run(tmp_path, loss=L(SoftmaxCrossEntropyLoss)(num_classes=10), prior_prob=None)
    main([str(run), "--num-images", "1"])
    assert "No margins plot: the model has no ECMLoss" in capsys.readouterr().out
    assert [path.name for path in (run / "pictures").iterdir()] == ["predictions.png"]


def test_checkpoint_can_be_chosen_and_metrics_may_be_missing(ecm_run, run, capsys, monkeypatch):
    monkeypatch.setattr(visualize, "plot_margins", lambda *_, **__: Figure((1, 1)))
    main([str(ecm_run), "--num-images", "1", "--score-threshold", "0"])
    expected = (ecm_run / "pictures" / "predictions.png").read_bytes()
    capsys.readouterr()
    (run / "last_checkpoint").unlink()
    (run / "results.json").unlink()
    options = ["--num-images", "1", "--score-threshold", "0"]
    main([str(run), "--checkpoint", str(run / "model_final.pth"), *options])
    output = capsys.readouterr().out
    assert "No metrics" in output and "predictions.png" in output
    same = (run / "pictures" / "predictions.png").read_bytes() == expected
    assert same, "weights of the same model give the same picture"


def test_metrics_table_leaves_missing_values_and_tasks_out(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"bbox": METRICS}))
    header, _, row = metrics_table(tmp_path).splitlines()
    assert header.split() == ["per", "cent", "AP", "AP50", "AP75", "APr", "APc", "APf"]
    end_of_rare = header.index("APr") + len("APr")
    assert row[end_of_rare - 5 : end_of_rare].strip() == ""
    assert row.split() == ["boxes", "41.2", "70.0", "40.0", "3.0", "9.0"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.yaml", "has no config.yaml, so it is not the folder of a run"),
        ("last_checkpoint", "has no checkpoint; finish the training, or pass --checkpoint FILE"),
        ("model_final.pth", "has no checkpoint; finish the training, or pass --checkpoint FILE"),
    ],
)
def test_incomplete_run_ends_with_a_sentence(run, missing, message):
    (run / missing).unlink()
    with pytest.raises(SystemExit, match=message):
        main([str(run)])


def test_demo_shows_the_run_that_it_trains():
    makefile = (ROOT / "Makefile").read_text()
    assert f"QUICK_START := {Path(CONFIG).relative_to(ROOT)}\n" in makefile
    assert f"QUICK_START_OUTPUT := {load_config(CONFIG).train.output_dir}\n" in makefile
    assert "python -m rankdet.tools.visualize $(QUICK_START_OUTPUT)\n" in makefile
