"""Counts the threads of gloo in processes that have trained on two ranks."""

from functools import partial
from pathlib import Path

from detectron2.utils import comm
from support.two_ranks import run_two_trainers
from support.two_stage_toy import image, train_toy

from rankdet.engine.launcher import run_explained


def train_and_gather(folder):
    """Use every group that Detectron2 makes: of all ranks, of this machine, and for objects."""
    train_toy(folder, [[image(0, [0, 1, 3, 3])]], num_measured=1)
    comm.all_gather("an object")


def count_threads(folder, rank):
    """Run a rank, and count the threads of gloo that are alive after it."""
    run_explained(train_and_gather, folder)
    names = [thread.read_text() for thread in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)


def threads_after_two_ranks(folder):
    """Threads of gloo that outlive the work of each of two ranks."""
    return run_two_trainers(partial(count_threads, folder), folder)
