import errno
import gc
import logging
from argparse import Namespace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
from support.gloo_threads import threads_after_two_ranks
from support.two_stage_toy import miss_checkpoint
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from rankdet.engine import launcher as engine
from rankdet.engine.checkpoint import ensure_checkpoint
from rankdet.engine.launcher import launch, run_explained


def arguments(num_gpus=1):
    return Namespace(
        num_gpus=num_gpus, num_machines=1, machine_rank=0, dist_url="auto", dist_timeout=60
    )


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA can't be forked")
def test_error_of_rankdet_in_other_processes_ends_with_its_sentence(capfd, monkeypatch):
    gc.collect()  # What other tests have left must not be collected by the forked processes.
    forked = partial(torch.multiprocessing.start_processes, start_method="fork")
    monkeypatch.setattr("torch.multiprocessing.start_processes", forked)
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


def dying(monkeypatch, error):
    def die(*args, **kwargs):
        raise error

    monkeypatch.setattr(engine, "d2_launch", die)
    with pytest.raises(SystemExit) as exit_:
        launch(print, arguments(num_gpus=2))
    return exit_.value.code


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (None, 1),
        (
            "SIGKILL",
            "error: a process of the job was ended by SIGKILL, perhaps for want of memory; go on "
            "with --resume.",
        ),
    ],
)
def test_death_of_a_process(monkeypatch, signal, expected):
    error = ProcessExitedException(
        "died", error_index=0, error_pid=1, exit_code=1, signal_name=signal
    )
    assert dying(monkeypatch, error) == expected


def test_processes_that_never_meet(monkeypatch):
    text = "Traceback:\n ... in init_process_group\ntorch.DistStoreError: 2/3 clients joined.\n"
    sentence = dying(monkeypatch, ProcessRaisedException(text, 0, 1))
    assert sentence.startswith("error: the connection to another process of the job was lost, or")
    assert "--dist-timeout (torch.DistStoreError: 2/3 clients joined); start" in sentence


def test_other_error_of_a_process_keeps_its_traceback(monkeypatch):
    def fail(*args, **kwargs):
        raise ProcessRaisedException("Traceback: ... in main\nTypeError: odd", 0, 1)

    monkeypatch.setattr(engine, "d2_launch", fail)
    with pytest.raises(ProcessRaisedException):
        launch(print, arguments(num_gpus=2))


def test_log_has_no_traceback_of_an_error_with_a_sentence(caplog):
    def fail(error):
        try:
            raise error
        except type(error):
            logging.getLogger("detectron2.engine.train_loop").exception("Exception during training")
            raise

    with pytest.raises(SystemExit, match="lost"):
        run_explained(fail, RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed"))
    with pytest.raises(OSError, match="full"):
        run_explained(fail, OSError(errno.ENOSPC, "full"))
    assert not caplog.records
    with pytest.raises(TypeError):
        run_explained(fail, TypeError("odd"))
    assert len(caplog.records) == 1


def test_torchrun_processes_join_each_other(monkeypatch):
    joined, calls = [], []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for name, value in {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda *args, **kwargs: joined.append((args, kwargs)),
    )
    monkeypatch.setattr(engine.comm, "create_local_process_group", joined.append)
    launch(calls.append, arguments())
    assert joined == [(("gloo",), {"timeout": timedelta(seconds=60)}), 1]
    assert len(calls) == 1


def test_torchrun_on_several_machines_chooses_the_interface(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    variables = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    with pytest.raises(SystemExit, match=r"tcp://127.0.0.1:1 is a loopback address"):
        launch(print, arguments())
