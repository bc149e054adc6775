"""A cache on disk for small results; the key of a result names everything that it depends on."""

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# Part of every key: raise it when the content of the cache files changes.
CACHE_VERSION = 2


def cache_file(kind: str, key: str) -> Path:
    """Path of the file for a result, in ``$RANKDET_CACHE``, by default ``~/.cache/rankdet``.

    Args:
        kind: of the result; the file's name begins with it.
        key: text that names everything that the result depends on.
    """
    folder = Path(os.environ.get("RANKDET_CACHE") or Path.home() / ".cache" / "rankdet")
    digest = hashlib.sha256(f"{CACHE_VERSION} {key}".encode("utf-8", "surrogatepass")).hexdigest()
    return folder / f"{kind}_{digest[:24]}.json"


def version_of(path: Path) -> str:
    """The path of a file with its size and time of change, as part of a key."""
    state = path.stat()
    return f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"


def read_cache(file: Path) -> Any:
    """Read a result; None if there is none, or its file is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_cache(file: Path, result: Any) -> None:
    """Write a result in one step, so that parallel processes never read half a file.

    Args:
        file: from :func:`cache_file`. If it can't be written, there is only a warning.
        result: anything that JSON can hold.
    """
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder of its own takes the file with it where writing fails.
        with tempfile.TemporaryDirectory(prefix="writing-", dir=folder) as own_folder:
            partial_file = Path(own_folder) / file.name
            partial_file.write_text(json.dumps(result), encoding="utf-8")
            partial_file.replace(file)
    except OSError as error:
        logger.warning("What was found out can't be kept in %s: %s", folder, error)
