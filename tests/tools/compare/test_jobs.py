import signal

import pytest
import torch

from rankdet.tools.compare import jobs
from rankdet.tools.compare.jobs import CONSOLE, job_environments, train_all


def test_all_runs_are_trained_with_their_part_of_the_machine(plan, capsys):
    runs = plan(0, 1, 2)
    environments = [{"OMP_NUM_THREADS": "5"}, {"OMP_NUM_THREADS": "7"}]
    assert train_all(runs, environments) == []
    assert all(run.is_finished() for run in runs)
    consoles = [(run.folder / CONSOLE).read_text() for run in runs]
    assert consoles[0].startswith("threads 5") and consoles[1].startswith("threads 7")
    assert "done: mask_rcnn_r18_fpn_ecm seed 2" in capsys.readouterr().out


def test_failure_shows_its_last_lines_and_does_not_stop_the_others(plan, capsys):
    runs = plan(9, 0)
    assert train_all(runs, [{}]) == [runs[0]]
    assert runs[1].is_finished()
    output = capsys.readouterr().out
    assert "FAILED with exit status 1: mask_rcnn_r18_fpn_ecm seed 9" in output
    assert "  | the loss of seed 9 is NaN\n" in output


def test_end_without_results_is_a_failure(plan, monkeypatch):
    (run,) = plan(0)
    monkeypatch.setattr(type(run), "command", lambda self: ["true"])
    assert train_all([run], [{}]) == [run]


def test_interruption_ends_the_processes(plan, monkeypatch):
    interrupted = []

    def interrupt(bar, runs, running):
        interrupted.extend(running)
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "_update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_all(plan(8, 18), [{}, {}])
    assert [job.process.returncode for job in interrupted] == [-signal.SIGTERM] * 2


def test_folder_of_a_living_training_is_left_alone(plan):
    (run,) = plan(8)
    job = jobs._Job(run, {})
    try:
        with pytest.raises(ValueError, match=r"another process is training into .*seed8; wait"):
            train_all([run], [{}])
    finally:
        job.process.kill()
        job.process.wait()


def test_threads_are_split(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert job_environments(None, on_gpus=False) == [{"OMP_NUM_THREADS": "8"}]
    assert job_environments(3, on_gpus=False) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert job_environments(9, on_gpus=False) == [{"OMP_NUM_THREADS": "1"}] * 9


@pytest.mark.parametrize(
    ("visible", "num_jobs", "expected"),
    [(None, None, "01"), (None, 3, "010"), (None, 1, "0"), ("6,GPU-ab", None, ["6", "GPU-ab"])],
)
def test_jobs_take_gpus_in_turn(monkeypatch, visible, num_jobs, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = job_environments(num_jobs, on_gpus=True)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == list(expected)


def test_gpus_are_not_counted_for_runs_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert len(job_environments(None, on_gpus=False)) == 1


def test_number_of_jobs_is_checked():
    with pytest.raises(ValueError, match="--jobs is 0; give 1 or more"):
        job_environments(0, on_gpus=False)
