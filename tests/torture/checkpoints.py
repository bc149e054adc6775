"""Looks into checkpoints, and at whole folders."""

from pathlib import Path

import torch


def is_whole_checkpoint(path: Path) -> bool:
    try:
        return "model" in torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError):
        return False


def iteration_of(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["iteration"]) if path.is_file() else -1


def equal(found: object, expected: object) -> bool:
    """Whether two checkpoints are equal, bit for bit."""
    if isinstance(expected, torch.Tensor):
        return isinstance(found, torch.Tensor) and torch.equal(found, expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(equal(found[k], expected[k]) for k in found)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return found == expected


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in files}
