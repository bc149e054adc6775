"""Files of RUN/analysis: JSON that records the annotations and the code that it was made with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rankdet.data.atomic_file import write_atomically
from rankdet.data.registered import annotation_path, ensure_dataset
from rankdet.tools.json_file import read_json

Json = dict[str, Any]

ANALYSIS_VERSION = 1
"""Raise it with every change of the content of these files or of how it is computed."""


def read_kept(path: Path, datasets: Sequence[str], shape: Any = None) -> Json | None:
    """Read a cached analysis; None if it is missing or out of date.

    Args:
        path: from :func:`write_analysis`.
        datasets: names of all data sets that it was made from, in the same order.
        shape: what it holds, see :func:`rankdet.tools.json_file.read_json`.
    """
    if not path.is_file():
        return None
    try:
        content: Json = read_json(path, {"made_of": dict, **(shape or {})})
    except ValueError:
        return None
    return content if content["made_of"] == _made_of(datasets) else None


def write_analysis(path: Path, content: Mapping[str, Any], datasets: Sequence[str]) -> None:
    """Write a file; it is never left half-written.

    Args:
        path: in a folder that is made if it is missing.
        content: ready for JSON.
        datasets: as for :func:`read_kept`.
    """
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps({"made_of": _made_of(datasets), **content}, indent=1) + "\n")


def _made_of(datasets: Sequence[str]) -> Json:
    files = {name: annotation_path(ensure_dataset(name)) for name in datasets}
    return {
        "version": ANALYSIS_VERSION,
        "annotations": {
            name: [file.stat().st_size, file.stat().st_mtime_ns] if file else None
            for name, file in files.items()
        },
    }
