"""``rankdet train`` in a process forked from this one, which has imported everything."""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rankdet.engine.main import main


def start(
    arguments: Sequence[str], console: Path, prepare: Callable[[], None] = lambda: None
) -> int:
    """Fork a process that trains.

    Args:
        arguments: of its command line.
        console: file for what it prints.
        prepare: called in the process first.

    Returns:
        The id of the process.
    """
    process = os.fork()
    if process == 0:
        os._exit(_run(arguments, console, prepare))
    return process


def wait(process: int) -> int:
    """Exit status of a process; negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _run(arguments: Sequence[str], console: Path, prepare: Callable[[], None]) -> int:
    gc.freeze()  # What the other process has left, e.g. workers of loaders, is not this one's.
    torch.set_num_threads(1)  # Those of OpenMP have not been forked.
    output = console.open("w", buffering=1)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout = sys.stderr = output
    try:
        prepare()
        main(arguments)
    except SystemExit as end:
        print(end.code, flush=True)
        return 1
    except BaseException:
        traceback.print_exc()
        return 3
    return 0
