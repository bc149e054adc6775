"""Runs trainings as processes, several at a time."""

import fcntl
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import IO

import torch
from tqdm import tqdm

from rankdet.tools.compare.runs import Run

CONSOLE = "console.txt"
"""Name of the file, in the folder of a run, with all that its processes have printed."""
POLL_SECONDS = 1.0
_NUM_TAIL_LINES = 15


def job_environments(num_jobs: int | None, on_gpus: bool) -> list[dict[str, str]]:
    """Share the machine among jobs.

    Args:
        num_jobs: jobs at a time; None: as many as there are GPUs, or 1 without.
        on_gpus: whether the jobs use GPUs, if there are any.

    Returns:
        Environment variables of each job: one of the visible GPUs, in turn, or else its part of the
        threads that this process has (all, or what OMP_NUM_THREADS says).

    Raises:
        ValueError: ``num_jobs`` is not positive.
    """
    if num_jobs is not None and num_jobs < 1:
        raise ValueError(f"--jobs is {num_jobs}; give 1 or more.")
    gpus = _visible_gpus() if on_gpus else []
    num_jobs = num_jobs or len(gpus) or 1
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(num_jobs)]
    num_threads = max(1, torch.get_num_threads() // num_jobs)
    return [{"OMP_NUM_THREADS": str(num_threads)} for _ in range(num_jobs)]


def train_all(runs: Sequence[Run], environments: Sequence[dict[str, str]]) -> list[Run]:
    """Train, as many at a time as there are environments; a failure does not stop the others.

    Shows the iterations of all runs on one bar, and the last lines of what failed. The end of
    this function, for any reason, ends the processes that it has started.

    Args:
        runs: that are not finished.
        environments: variables of each job, see :func:`job_environments`.

    Returns:
        The runs that failed.

    Raises:
        ValueError: another process is at work on a run.
    """
    waiting, free = deque(runs), deque(environments)
    jobs: list[_Job] = []
    failed = []
    try:
        with _progress_bar(runs) as bar:
            while waiting or jobs:
                while waiting and free:
                    jobs.append(_Job(waiting.popleft(), free.popleft()))
                time.sleep(POLL_SECONDS)
                for job in [job for job in jobs if job.process.poll() is not None]:
                    jobs.remove(job)
                    free.append(job.environment)
                    if not job.succeeded():
                        failed.append(job.run)
                _update(bar, runs, jobs)
    finally:
        for job in jobs:
            job.process.terminate()
        for job in jobs:
            job.process.wait()
    return failed


class _Job:
    """A training at work, which holds the lock of its folder, even if this process dies first."""

    def __init__(self, run: Run, environment: dict[str, str]) -> None:
        self.run = run
        self.environment = environment
        command = run.command()
        with _lock_console(run) as console:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        tqdm.write(f"{'resumed' if '--resume' in command else 'started'}: {run.name}")

    def succeeded(self) -> bool:
        """Say how the process has ended."""
        if self.process.returncode == 0 and self.run.is_finished():
            tqdm.write(f"done: {self.run.name}")
            return True
        path = self.run.folder / CONSOLE
        tail = path.read_text(errors="replace").splitlines()[-_NUM_TAIL_LINES:]
        tqdm.write(
            f"FAILED with exit status {self.process.returncode}: {self.run.name}; the last lines "
            f"of {path}:\n" + "\n".join(f"  | {line}" for line in tail)
        )
        return False


def _visible_gpus() -> list[str]:
    number = torch.cuda.device_count()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return chosen.split(",")[:number] if chosen else [str(index) for index in range(number)]


def _lock_console(run: Run) -> IO[bytes]:
    run.folder.mkdir(parents=True, exist_ok=True)
    console = (run.folder / CONSOLE).open("ab")
    try:
        fcntl.flock(console, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        console.close()
        raise ValueError(
            f"another process is training into {run.folder}; wait for it, or end it."
        ) from None
    return console


def _progress_bar(runs: Iterable[Run]) -> "tqdm[None]":
    lengths = [(run.num_iterations(), run.max_iter) for run in runs]
    return tqdm(
        initial=sum(done for done, _ in lengths),
        total=sum(length for _, length in lengths),
        unit="it",
        mininterval=1 if sys.stderr.isatty() else 30,  # Bars of a log file are lines.
    )


def _update(bar: "tqdm[None]", runs: Iterable[Run], jobs: Iterable[_Job]) -> None:
    running = (f"{job.run.name} {job.run.num_iterations()}/{job.run.max_iter}" for job in jobs)
    bar.set_postfix_str(", ".join(running), refresh=False)
    bar.update(sum(run.num_iterations() for run in runs) - bar.n)
