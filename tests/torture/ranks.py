"""Two ranks of a job, by train_net.py as users start them."""

import os
import subprocess
import sys
from pathlib import Path

from support.smoke_run import CONFIG, ROOT
from torture.training import SETTINGS


def start_ranks(folder: Path, *flags: str) -> "subprocess.Popen[str]":
    """Start two ranks by train_net.py."""
    own = (f"train.output_dir={folder}", "--num-gpus", "2", "--dist-url", "auto", *flags)
    own = (*own[1:], *SETTINGS, own[0])
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", CONFIG, *own]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=environment, text=True, **output)


def children(process: int) -> list[int]:
    """The ranks of a job: its children that run Python's spawned main."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    commands = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in found}
    return [one for one, command in commands.items() if b"spawn_main" in command]
