import json
import os
import sys
from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from support.smoke_run import CONFIG, OVERRIDES

from rankdet.engine.config import load_config
from rankdet.tools.compare.runs import plan_runs

NAME = Path(CONFIG).stem


def start(run, *overrides):
    """Leave what a training leaves when it starts."""
    folder = f"train.output_dir={run.folder}"
    cfg = load_config(CONFIG, [*OVERRIDES, f"train.seed={run.seed}", folder, *overrides])
    run.folder.mkdir(parents=True)
    LazyConfig.save(cfg, str(run.folder / "config.yaml"))


def log(run, *records):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (run.folder / "metrics.json").write_text(lines)


def test_every_seed_of_every_config_has_its_folder(tmp_path):
    other = Path(CONFIG).with_name("mask_rcnn_r18_fpn.py")
    runs = plan_runs([Path(CONFIG), other], [0, 2], tmp_path)
    names = [(NAME, "seed0"), (NAME, "seed2"), (other.stem, "seed0"), (other.stem, "seed2")]
    assert [run.folder for run in runs] == [tmp_path / method / seed for method, seed in names]
    assert {run.max_iter for run in runs} == {load_config(CONFIG).train.max_iter}


def test_command_trains_what_was_planned(tmp_path):
    folder = tmp_path / "it's, a = folder"
    (run,) = plan_runs([Path(CONFIG)], [3], folder, ["train.max_iter=7"])
    command = [sys.executable, "-m", "rankdet", "train", "--config-file", CONFIG]
    assert run.command()[:6] == command
    overrides = run.command()[6:]
    train = load_config(CONFIG, overrides).train
    assert (train.seed, train.max_iter, run.max_iter) == (3, 7, 7)
    assert train.output_dir == str(folder / NAME / "seed3")


def test_configs_may_be_names_of_the_model_zoo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (run,) = plan_runs([Path(f"glyphs/{NAME}.py")], [0], Path("out"))
    assert (run.method, run.folder) == (NAME, Path(f"out/{NAME}/seed0"))
    assert run.command()[4:6] == ["--config-file", f"glyphs/{NAME}.py"]
    with pytest.raises(FileNotFoundError, match=r"'glyphs/mask\.py' does not exist; .*the nearest"):
        plan_runs([Path("glyphs/mask.py")], [0], Path("out"))


def test_started_run_is_resumed_from_its_checkpoint(plan):
    (run,) = plan(0)
    start(run)
    assert "--resume" not in run.command()
    (run.folder / "last_checkpoint").write_text("model_0000002.pth")
    assert "--resume" in run.command()


def test_run_is_finished_with_the_evaluation_after_its_last_iteration(plan):
    (run,) = plan(0)
    start(run)
    assert (run.num_iterations(), run.is_finished()) == (0, False)
    run.results_file.write_text("{}")
    log(run, {"iteration": 3, "bbox/AP": 1.0}, {"iteration": 5, "loss": float("nan")})
    assert (run.num_iterations(), run.is_finished()) == (5, False)
    log(run, {"iteration": 5}, {"iteration": 6, "bbox/AP": 1.0})
    assert (run.num_iterations(), run.is_finished()) == (6, True)
    run.results_file.unlink()
    assert not run.is_finished()


def test_run_without_metrics_is_finished_with_results_after_its_last_iteration(plan):
    """A test set without annotations."""
    (run,) = plan(0)
    start(run)
    log(run, {"iteration": 4, "loss": 1.0})
    set_results(run, "{}", seconds_later=1)
    assert not run.is_finished(), "an evaluation on the way"
    log(run, {"iteration": 5, "loss": 1.0}, {"iteration": 0, "accuracy": 1.0})
    set_results(run, "{}", seconds_later=-1)
    assert not run.is_finished(), "that of an earlier iteration"
    set_results(run, "{}", seconds_later=1)
    assert run.is_finished()
    set_results(run, '{"bbox": {"AP": 1.0}}', seconds_later=1)
    assert not run.is_finished(), "metrics are logged, too"


def set_results(run, text, seconds_later):
    """Write them so much after metrics.json."""
    run.results_file.write_text(text)
    time = (run.folder / "metrics.json").stat().st_mtime + seconds_later
    os.utime(run.results_file, (time, time))


def test_line_that_a_kill_has_cut_does_not_count(plan):
    (run,) = plan(0)
    start(run)
    (run.folder / "metrics.json").write_text('{"iteration": 5, "loss": 1.0}\n{"iteration": 6')
    assert run.num_iterations() == 5


def test_same_config_is_accepted_in_any_spelling_of_the_folder(plan, tmp_path, monkeypatch):
    (run,) = plan(0)
    start(run)
    monkeypatch.chdir(tmp_path)
    assert plan_runs([Path(CONFIG)], [0], Path("."), OVERRIDES)[0].folder.samefile(run.folder)


def test_changed_config_is_an_error_that_shows_the_change(plan):
    (run,) = plan(0)
    start(run, "optimizer.lr=0.5")
    with pytest.raises(ValueError, match=r"seed0 holds a run of another config; choose") as error:
        plan(0)
    assert str(error.value).splitlines()[1:] == ["-  lr: 0.5", "+  lr: 0.001"]


@pytest.mark.parametrize(
    ("configs", "seeds", "overrides", "message"),
    [
        ([CONFIG, f"other/{NAME}.yaml"], [0], [], f"two files of one name, {NAME}, {NAME}"),
        ([CONFIG], [0, 1, 0], [], r"--seeds is \[0, 1, 0\]; give different numbers from 0 on"),
        ([CONFIG], [-1], [], r"--seeds is \[-1\]"),
        ([CONFIG], [0], ["train.seed=1"], r"'train\.seed=1': .* use --seeds"),
        ([CONFIG], [0], ["++train.output_dir=x"], "use --output"),
        ([CONFIG], [0], ["train.max_itr=1"], "unknown config key 'train.max_itr'"),
    ],
)
def test_bad_argument_is_an_error_before_anything_starts(
    tmp_path, configs, seeds, overrides, message
):
    with pytest.raises(ValueError, match=message):
        plan_runs([Path(config) for config in configs], seeds, tmp_path, overrides)
    assert not any(tmp_path.iterdir())
