from argparse import Namespace
from pathlib import Path

import pytest
import torch
from launch_ranks import threads_after_two_ranks
from torch.multiprocessing import ProcessExitedException
from two_stage_toy import miss_checkpoint

from rankdet.engine import launch as engine
from rankdet.engine.checkpoint import ensure_checkpoint
from rankdet.engine.launch import launch, run_explained


def arguments(num_gpus=1):
    return Namespace(num_gpus=num_gpus, num_machines=1, machine_rank=0, dist_url="auto")


@pytest.fixture(autouse=True)
def outside_torchrun(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


def test_main_is_called_in_this_process():
    args, calls = arguments(), []
    launch(calls.append, args)
    assert calls == [args]


def test_error_of_rankdet_ends_with_its_sentence():
    with pytest.raises(SystemExit, match=r"^error: there are no weights to load; set train"):
        launch(lambda args: ensure_checkpoint(""), arguments())


@pytest.mark.slow
def test_error_of_rankdet_in_other_processes_ends_with_its_sentence(capfd):
    with pytest.raises(SystemExit) as error:
        launch(miss_checkpoint, arguments(num_gpus=2))
    assert error.value.code == 1
    printed = capfd.readouterr().err
    assert "error: there are no weights to load" in printed
    assert "Traceback" not in printed


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_no_thread_of_gloo_outlives_the_work_of_a_rank(tmp_path):
    assert threads_after_two_ranks(tmp_path) == [0, 0]


def test_error_of_other_code_keeps_its_traceback():
    with pytest.raises(ValueError, match="invalid literal"):
        run_explained(lambda: int("x"))
    with pytest.raises(FileNotFoundError):
        run_explained(lambda: open("nowhere"))


def test_error_of_another_kind_keeps_its_traceback():
    with pytest.raises(TypeError):
        run_explained(ensure_checkpoint)


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SystemExit, match="--num-gpus is 3, but 2 GPUs are visible; ask for fewer"):
        launch(print, arguments(num_gpus=3))


@pytest.mark.parametrize(
    ("signal", "expected"), [(None, SystemExit), ("SIGKILL", ProcessExitedException)]
)
def test_death_of_a_process(monkeypatch, signal, expected):
    def die(*args, **kwargs):
        raise ProcessExitedException(
            "died", error_index=0, error_pid=1, exit_code=1, signal_name=signal
        )

    monkeypatch.setattr(engine, "d2_launch", die)
    with pytest.raises(expected):
        launch(print, arguments(num_gpus=2))


def test_torchrun_processes_join_each_other(monkeypatch):
    joined, calls = [], []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", joined.append)
    monkeypatch.setattr(engine.comm, "create_local_process_group", joined.append)
    launch(calls.append, arguments())
    assert joined == ["gloo", 1]
    assert len(calls) == 1
