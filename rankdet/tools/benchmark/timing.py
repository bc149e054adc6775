"""What every benchmark prints: the machine, and a table of timings."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tabulate import tabulate


def machine() -> str:
    """Name what the figures depend on: processor, GPU and versions."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {gpu}; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def timed(function: Callable[[], object]) -> float:
    """Call a function once and measure how long it takes, work on the GPU included.

    Args:
        function: what to measure.

    Returns:
        Seconds.
    """
    _synchronize()
    start = time.perf_counter()
    _result = function()  # kept until the clock is read: freeing it may take seconds
    _synchronize()
    return time.perf_counter() - start


def print_timings(seconds: dict[str, float]) -> None:
    """Print timings as a table, with their ratio to the first one.

    Args:
        seconds: duration of each thing measured, by its name.
    """
    reference = next(iter(seconds.values()))
    rows = [(name, value, value / reference) for name, value in seconds.items()]
    print(tabulate(rows, headers=("", "seconds", "ratio"), floatfmt=("", ".4f", ".4f")))


def _synchronize() -> None:
    if torch.cuda.is_initialized():  # else nothing can be under way
        torch.cuda.synchronize()


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
