"""Reads the settings that mmdetection saves as a config's text, as data: nothing of it is run."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

_MAX_TEXT = 2_000_000  # characters
_LARGEST = 1e6  # of the numbers of a model's config
_PYTORCH_MEAN, _PYTORCH_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class ImageFormat(NamedTuple):
    """How pixels enter a model: (pixel - mean) / std, in the order of the channels."""

    channels: str
    """RGB or BGR."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def in_rgb(self) -> "ImageFormat":
        """The same for red, green and blue."""
        if self.channels == "RGB":
            return self
        return ImageFormat("RGB", self.mean[::-1], self.std[::-1])


IMAGENET = ImageFormat("RGB", _PYTORCH_MEAN, _PYTORCH_STD)
"""Of torchvision's weights, and so of most of mmdetection's detectors."""


class Settings:
    """What a config says, as far as its text shows it.

    Args:
        content: top-level names and values; empty: nothing is known.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    @property
    def is_known(self) -> bool:
        """Whether there is a config of a model."""
        return isinstance(self.content.get("model"), Mapping)

    def get(self, *path: str | int, default: Any = None) -> Any:
        """A value of the model's config.

        Args:
            path: keys, and indices of lists. A list of one value can be given as that value.
            default: what to give where there is no such value.
        """
        node: Any = self.content.get("model")
        for key in path:
            if isinstance(key, int) and isinstance(node, Mapping):
                continue
            try:
                node = node[key]
            except (TypeError, KeyError, IndexError):
                return default
        return node

    def part(self, *path: str | int) -> Mapping[str, Any]:
        """As :meth:`get`, for a ``dict(...)``; empty: there is none."""
        found = self.get(*path)
        return found if isinstance(found, Mapping) else {}

    def image_format(self) -> ImageFormat | None:
        """How pixels enter the model; None: unknown."""
        data = self.content.get("data")
        test = data.get("test") if isinstance(data, Mapping) else None
        candidates: tuple[tuple[Any, str, bool], ...] = (
            (self.get("data_preprocessor"), "bgr_to_rgb", False),
            (_normalize_step(test), "to_rgb", True),
            (self.content.get("img_norm_cfg"), "to_rgb", True),
            (_normalize_step(self.content), "to_rgb", True),
        )
        for found, switch, default in candidates:
            if not isinstance(found, Mapping):
                continue
            mean, std = (numbers(found.get(key), 3) for key in ("mean", "std"))
            if mean and std and min(std) > 0:
                channels = "RGB" if found.get(switch, default) else "BGR"
                return ImageFormat(channels, tuple(mean), tuple(std))
        return None


def parse_settings(text: str) -> Settings:
    """Read the assignments of a config file, such as mmdetection writes into a run's folder.

    Args:
        text: Python of which literals, lists, tuples and ``dict(...)`` are understood. Any other
            value counts as not given.

    Returns:
        The settings; nothing is known if the text is none of these.
    """
    if len(text) > _MAX_TEXT:
        return Settings({})
    try:
        body = ast.parse(text).body
        return Settings(
            {
                target.id: _value(node.value)
                for node in body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Settings({})


def read_settings(path: Path) -> Settings:
    """Read a config file, see :func:`parse_settings`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it describes no model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--source-config {path} does not exist; give a file.")
    settings = parse_settings(path.read_text(encoding="utf-8", errors="replace"))
    if not settings.is_known:
        raise ValueError(
            f"--source-config {path} has no model = dict(...); give the complete config that "
            "mmdetection writes into the folder of a run, not one that inherits from others."
        )
    return settings


def numbers(values: object, count: int | None = None) -> list[float] | None:
    """The numbers of a list in a config; None: it is no such list.

    Args:
        values: what the config has there.
        count: how many there have to be; None: any number.
    """
    if not isinstance(values, list) or (count is not None and len(values) != count):
        return None
    if not all(isinstance(x, int | float) and abs(x) <= _LARGEST for x in values):
        return None
    return [float(x) for x in values]


def _value(node: ast.expr) -> Any:
    """A literal, or None for what would have to be run."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {key.value: _value(value) for key, value in pairs if _is_text(key)}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return {one.arg: _value(one.value) for one in keywords if one.arg}
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element) for element in elements]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def _is_text(node: ast.expr | None) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _normalize_step(node: object) -> Any:
    """The first step of a pipeline that normalizes, anywhere below."""
    if isinstance(node, Mapping):
        if str(node.get("type", "")).endswith("Normalize"):
            return node
        node = list(node.values())
    if isinstance(node, list):
        found = (_normalize_step(child) for child in node)
        return next((one for one in found if one is not None), None)
    return None
