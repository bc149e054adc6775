"""Writes the code version, machine and time of a run to its log."""

import json
import logging
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm

import rankdet

logger = logging.getLogger(__name__)

LOG_PREFIX = "Provenance: "


def log_provenance() -> None:
    """Write one line of JSON to the log, beside Detectron2's table of versions."""
    logger.info("%s%s", LOG_PREFIX, json.dumps(provenance()))


def provenance() -> dict[str, Any]:
    """Collect what Detectron2's own table does not tell.

    Returns:
        Version, git commit (None: not a checkout), whether files differ from it, time of the start
        (ISO 8601), processor, numbers of its cores, of threads per process and of processes.
    """
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "version": rankdet.__version__,
        "commit": _git("rev-parse", "HEAD"),
        "has_local_changes": bool(changes),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": _processor(),
        "num_cpus": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "num_processes": comm.get_world_size(),
    }


def _git(*arguments: str) -> str | None:
    """Output of git for the checkout that holds this file; None: there is no checkout."""
    root = Path(rankdet.__file__).parents[1]
    if not (root / ".git").exists():
        return None  # Installed: git would answer for an unrelated repository around it.
    try:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    """Name of the processor, which only Linux tells in a file."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
