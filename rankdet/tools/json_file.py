"""Reads JSON files of runs and tools, and checks their shape: anybody may have changed them."""

import json
from pathlib import Path
from typing import Any

Number = (int, float, type(None))
"""Shape of a number, or of an undefined one."""


def read_json(path: Path, shape: Any = None) -> Any:
    """Parse a file; NaN and Infinity, which are no JSON, become None.

    Args:
        path: of the file.
        shape: what it has to hold. A type, or types of which one fits; ``[shape]``: a list of such;
            ``{str: shape}``: an object of such; ``{"a": shape, "b": shape}``: an object that has
            these keys, and maybe more; None: anything.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is no JSON ({error}), perhaps because its writer was killed; delete it, and "
            "let it be written again."
        ) from error
    ensure_shape(content, shape, path)
    return content


def ensure_shape(content: Any, shape: Any, path: Path) -> None:
    """Check what a file holds.

    Args:
        content: of the file, or a part.
        shape: see :func:`read_json`.
        path: of the file.

    Raises:
        ValueError: it is of another shape.
    """
    problem = _mismatch(content, shape, "")
    if problem:
        raise ValueError(
            f"{path} is not what rankdet writes ({problem}); delete it, and let it be written "
            "again."
        )


def _mismatch(value: Any, shape: Any, place: str) -> str:
    """Where a value is not of a shape, and what is there; empty: it is."""
    if shape is None:
        return ""
    kind: Any = type(shape) if isinstance(shape, dict | list) else shape
    is_bool = isinstance(value, bool) and kind is not bool  # To Python, also a number.
    if is_bool or not isinstance(value, kind):
        return f"{place or 'all of it'} is {str(value)[:40]!r}"
    parts: list[tuple[Any, Any, str]] = []
    if isinstance(shape, list):
        parts = [(item, shape[0], f"{place}[{index}]") for index, item in enumerate(value)]
    elif isinstance(shape, dict) and str in shape:
        parts = [(item, shape[str], f"{place}[{name!r}]") for name, item in value.items()]
    elif isinstance(shape, dict):
        parts = [(value.get(name), of, f"{place}[{name!r}]") for name, of in shape.items()]
    return next(filter(None, (_mismatch(*part) for part in parts)), "")
