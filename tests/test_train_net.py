"""Runs train_net.py as users do, in processes of its own; some are forked, to save imports."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import forked_run
from support.smoke_run import CONFIG, OVERRIDES, ROOT, smoke_config

from rankdet.engine.training import evaluate_checkpoint

TRAIN_NET = [str(ROOT / "train_net.py"), "--config-file", CONFIG]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(folder, *arguments, launcher=(sys.executable,), flags=()):
    output = f"train.output_dir={folder}"
    return [*launcher, *TRAIN_NET, *flags, *OVERRIDES, output, *arguments]


def run(folder, *arguments, **options):
    return subprocess.run(
        command(folder, *arguments, **options),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def succeed(*args, **options):
    done = run(*args, **options)
    assert done.returncode == 0, done.stderr
    return done


def final_model(folder):
    return torch.load(folder / "model_final.pth")["model"]


def test_unknown_key_is_one_sentence(tmp_path):
    done = run(tmp_path, "train.max_itr=3")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: unknown config key 'train.max_itr': 'train' has no such key; the nearest is "
        "'train.max_iter'.\n"
    )


def test_one_process_and_its_saved_config(tmp_path):
    done = succeed(tmp_path / "first", "hooks.background_ratio.num_iterations=2")
    assert "warn" not in (done.stdout + done.stderr).lower()
    log = (tmp_path / "first/log.txt").read_text()
    for text in ("Full config saved", "eta: ", "Froze ecm/background_ratio", "Results:\ntask"):
        assert text in log
    saved = str(tmp_path / "first/config.yaml")
    again = ["--config-file", saved, f"train.output_dir={tmp_path}/second"]
    assert forked_run.wait(forked_run.start(again, tmp_path / "console")) == 0
    assert final_model(tmp_path / "first").keys() == final_model(tmp_path / "second").keys()
    second_log = (tmp_path / "second/log.txt").read_text()
    assert "Froze ecm/background_ratio" in second_log
    assert (tmp_path / "second/config.yaml").read_text() == Path(saved).read_text().replace(
        f"{tmp_path}/first", f"{tmp_path}/second"
    )


@pytest.mark.slow
def test_run_killed_in_the_middle_is_resumed(tmp_path):
    folder, console = tmp_path / "run", tmp_path / "console"
    options = ("train.max_iter=40", "train.checkpointer.period=4")
    arguments = command(folder, *options)[2:]
    process = forked_run.start(arguments, console)
    while not (folder / "last_checkpoint").exists():
        assert os.waitpid(process, os.WNOHANG) == (0, 0), console.read_text()
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert forked_run.wait(process) == -signal.SIGKILL
    last = (folder / "last_checkpoint").read_text()
    iteration = torch.load(folder / last)["trainer"]["iteration"]
    assert forked_run.wait(forked_run.start(["--resume", *arguments], console)) == 0
    assert f"Starting training from iteration {iteration + 1}" in console.read_text()
    assert torch.load(folder / "model_final.pth")["trainer"]["iteration"] == 39


def scores(folder):
    """Scores of a run's last predictions, in an order that does not depend on the processes."""
    predictions = json.loads((folder / "inference/lvis_instances_results.json").read_text())
    return [score for _, score in sorted((p["image_id"], p["score"]) for p in predictions)]


@pytest.mark.slow
def test_two_processes_by_either_launcher(tmp_path):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    succeed(tmp_path / "torchrun", launcher=torchrun)
    succeed(tmp_path / "launch", flags=["--num-gpus", "2", "--dist-url", "auto"])
    first, second = final_model(tmp_path / "torchrun"), final_model(tmp_path / "launch")
    assert all(torch.equal(first[key], second[key]) for key in first)
    # Each rank has its own batch-norm statistics; the evaluation must use those of the checkpoint.
    checkpoint = f"train.init_checkpoint={tmp_path}/torchrun/model_final.pth"
    evaluate_checkpoint(smoke_config(tmp_path / "single", checkpoint))
    expected = scores(tmp_path / "single")
    for name in ("torchrun", "launch"):
        assert scores(tmp_path / name) == pytest.approx(expected, abs=1e-5)
