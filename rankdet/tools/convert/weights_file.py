"""Reads a file of PyTorch that somebody else has written, without running any of its code."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

_LEFT_OUT = ("addict", "collections", "datetime", "mmcv", "mmdet", "mmengine", "numpy", "pathlib")
"""Packages whose objects mmdetection saves beside the weights: logs, times, settings."""
_LEFT_OUT_NAMES = ("builtins.getattr",)  # How mmengine's log names its methods.


class _StandIn:
    """Takes the place of an object that is not needed, and holds nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Forget what the object was made of."""

    def __setstate__(self, state: object) -> None:
        """Forget what the object held."""


def read_weights_file(path: Path) -> Any:
    """Read tensors and plain values; objects of mmdetection's packages become empty stand-ins.

    Nothing is imported or called for the file: it is read with ``weights_only``.

    Args:
        path: file that ``torch.save`` has written.

    Returns:
        What was saved, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, no file of PyTorch, or names something that could run code.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the checkpoint {path} does not exist; give a file.")
    try:
        with safe_globals([(_stand_in(name), name) for name in _foreign_names(path)]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except _RefusedError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # Damaged and hostile files make the reader raise anything.
        raise ValueError(_sentence(path, error)) from error


class _RefusedError(ValueError):
    """A name in the file that no checkpoint needs."""


def _foreign_names(path: Path) -> list[str]:
    """Names of what the file holds besides tensors and plain values."""
    if not zipfile.is_zipfile(path):  # The format before PyTorch 1.6 can't be asked.
        return []
    names: list[str] = sorted(get_unsafe_globals_in_checkpoint(path))
    for name in names:
        if name.partition(".")[0] not in _LEFT_OUT and name not in _LEFT_OUT_NAMES:
            raise _RefusedError(
                f"it names {name}, which no checkpoint of a detector needs and which could run "
                "code; save its state_dict alone, where you trust it, and convert that."
            )
    return names


def _stand_in(name: str) -> type[_StandIn]:
    return type(name.replace(".", "_"), (_StandIn,), {})


def _sentence(path: Path, error: Exception) -> str:
    if path.suffix == ".pkl":
        return (
            f"{path} has the name of Detectron2's weights, which need no conversion: give it as "
            "train.init_checkpoint."
        )
    reason = type(error).__name__
    if isinstance(error, pickle.UnpicklingError):
        reason += ": it is cut short, or holds more than tensors and plain values"
    return (
        f"{path} is no checkpoint of PyTorch, or damaged ({reason}); download it again, or save "
        "its state_dict alone."
    )
