"""Writes files that are complete or missing, even if the process or the machine dies meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PARTIAL_SUFFIX = ".partial"
"""Suffix of a file that is being written. A killed process leaves it, the next one replaces it."""


@contextmanager
def atomic_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that gets its name only when it is complete and on the disk.

    The content goes to another file in the same folder, which is flushed, synced and renamed. An
    error leaves the former file as it was. Two processes must not write the same file at once.

    Args:
        path: where the file will be; its folder exists.
        mode: "w" for text in UTF-8, "wb" for bytes.

    Yields:
        The open file.

    Raises:
        OSError: it can't be written.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file by :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(text)


def _sync_folder(folder: Path) -> None:
    """Write the new name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
