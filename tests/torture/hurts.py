"""What is done to a training before it starts: when and how it will die."""

import os
import shutil
import signal
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torture.training import Hurt

import rankdet.data.atomic_file
import rankdet.engine.checkpoint
import rankdet.engine.training

STAGES = ("content", "before rename", "after rename")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingOS:
    """The ``os`` of :mod:`rankdet.data.atomic_file`, which kills at a stage of one of the writes.

    Args:
        stage: of ``STAGES``; at "content" the file is cut.
        write: number of the write, from 1 on: checkpoints and their tags in turn.
        share: of the content that is left.
    """

    def __init__(self, stage: str, write: int, share: float) -> None:
        self.stage = stage
        self.write = write
        self.share = share
        self.num_writes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def _is_time(self, stage: str) -> bool:
        return self.num_writes == self.write and self.stage == stage

    def fsync(self, descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.num_writes += 1
            if self._is_time("content"):
                os.ftruncate(descriptor, int(self.share * os.fstat(descriptor).st_size))
                die()
        os.fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        if self._is_time("before rename"):
            die()
        os.replace(source, target)
        if self._is_time("after rename"):
            die()


def killed_in_write(stage: str, write: int, share: float) -> Hurt:
    """Kill a training in one of its writes, see :class:`DyingOS`."""

    def hurt() -> None:
        rankdet.data.atomic_file.os = DyingOS(stage, write, share)

    return hurt


def fill_after(num_checkpoints: int, filling: Path) -> None:
    """Have a training fill its disk after so many checkpoints."""
    original = rankdet.engine.checkpoint.Checkpointer.tag_last_checkpoint
    counts: Counter[str] = Counter()

    def tag(self, name: str) -> None:
        original(self, name)
        counts["tags"] += 1
        if counts["tags"] == num_checkpoints:
            free = os.statvfs(filling.parent)
            with filling.open("wb") as file:
                file.write(bytes(free.f_bavail * free.f_frsize))

    rankdet.engine.checkpoint.Checkpointer.tag_last_checkpoint = tag


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Mount a small disk on a folder; gives whether the system allows it."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    is_mounted = (
        shutil.which("mount") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)
