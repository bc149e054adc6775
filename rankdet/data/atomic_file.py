"""Files that are there whole or not at all, even if the process or the machine dies meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PARTIAL_SUFFIX = ".partial"
"""Of a file that is being written; one that was killed leaves it, and the next replaces it."""


@contextmanager
def atomic_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file to write that gets its name when it is complete and on the disk.

    It is written beside its place, flushed, synchronised and renamed. An error leaves what was
    there before. Two processes must not write the same file at once.

    Args:
        path: Where the file will be; its folder exists.
        mode: "w" for text in UTF-8, "wb" for bytes.

    Yields:
        The open file.

    Raises:
        OSError: It can't be written.
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
    """Bring the new name to the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
