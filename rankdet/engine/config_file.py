"""Finds and reads the file of a config: code from ``.py``, data from ``.yaml``."""

import builtins
import dataclasses
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf

from rankdet.engine.renamed import hint_of_name
from rankdet.engine.trust import UntrustedError, check_data, resolve
from rankdet.shipped_configs import config_names, nearest_configs, shipped_config

_REMEDY = "give one of rankdet's configs ({}), a .py file of yours, or a run's config.yaml."
REMEDY = _REMEDY.format("such as glyphs/mask_rcnn_r18_fpn_ecm.py")
"""End of a sentence about a config that is none."""
_CONFIG_PACKAGE = "detectron2._cfg_loader"  # Of all files that LazyConfig runs.


def read_config(path: str, trust: Sequence[str] = ()) -> DictConfig:
    """Read all that a file defines.

    Args:
        path: ``.py``, which is run, or ``.yaml``, which is not; see :func:`find_config_file`.
        trust: see :func:`rankdet.engine.trust.resolve`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no config, is damaged, raises, or names what may not be named.
    """
    path = find_config_file(path)
    if Path(path).suffix == ".py":
        return _run(path)
    if Path(path).suffix == ".yaml":
        return _parse(path, trust)
    raise ValueError(f"--config-file {path!r} is no config; {REMEDY}")


def find_config_file(path: str) -> str:
    """Find a config: a file of this path, or else one of rankdet's configs of this name.

    Args:
        path: of a file, or a name such as ``glyphs/mask_rcnn_r18_fpn_ecm.py``.

    Returns:
        Path of the file.

    Raises:
        FileNotFoundError: there is neither.
    """
    if path and Path(path).is_dir():
        raise FileNotFoundError(f"--config-file {path!r} is a folder; {REMEDY}")
    if Path(path).is_file():
        return path
    if path in config_names():
        return str(shipped_config(path))
    remedy = _REMEDY.format(nearest_configs(path)) if path else REMEDY
    raise FileNotFoundError(f"--config-file {path!r} does not exist; {remedy}")


def _run(path: str) -> DictConfig:
    import_statement = builtins.__import__
    try:
        config: DictConfig = LazyConfig.load(path)
        return config
    except Exception as error:  # The code of the user can raise anything.
        raise ValueError(f"--config-file {path!r} fails: {_where(error, path)}.") from error
    finally:
        builtins.__import__ = import_statement  # LazyConfig leaves its own behind an error.


def _where(error: Exception, path: str) -> str:
    """File, line and reason of an error in a config or in one that it imports."""
    cause = error.__cause__
    if isinstance(error, SyntaxError) and isinstance(cause, SyntaxError):
        # LazyConfig knows the file, and Python the line.
        file = str(error).removeprefix("Config file ").removesuffix(" has syntax error!")
        return f"{file}, line {cause.lineno}: {type(cause).__name__}: {cause.msg}"
    message = " ".join(str(error).split()).rstrip(".")
    reason = f"{type(error).__name__}: {message}{hint_of_name(message)}"
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__package__")).startswith(_CONFIG_PACKAGE)
        or frame.f_code.co_filename == path
    ]
    file, line = frames[-1] if frames else (path, None)
    return f"{file}, line {line}: {reason}" if line else reason


def _parse(path: str, trust: Sequence[str]) -> DictConfig:
    try:
        content = _Loader(Path(path).read_bytes(), trust).get_single_data()
        if not isinstance(content, dict):
            kind = "empty" if content is None else f"a {type(content).__name__}"
            raise UntrustedError(f"it is {kind} and no mapping of sections")
        check_data(content, trust)
        return OmegaConf.create(content, flags={"allow_objects": True})
    except UntrustedError as error:
        raise ValueError(f"--config-file {path!r} can't be used: {error}; {REMEDY}") from error
    except OSError:
        raise
    except Exception as error:  # PyYAML and OmegaConf raise many kinds on what is no config.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"--config-file {path!r} is damaged ({reason}); {REMEDY}") from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that also reads the three kinds of objects of ``LazyConfig.save``.

    These are tuples, names of classes and functions, and data classes. Names and data classes must
    pass :func:`resolve`.
    """

    def __init__(self, stream: bytes, trust: Sequence[str]) -> None:
        super().__init__(stream)
        self.trust = trust

    def tuple(self, node: yaml.Node) -> Any:
        return tuple(self.construct_sequence(node))

    def name(self, suffix: str, _: yaml.Node) -> Any:
        return resolve(suffix, self.trust)

    def dataclass(self, suffix: str, node: yaml.Node) -> Any:
        found = resolve(suffix, self.trust)
        if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
            raise UntrustedError(f"it makes a {suffix}, which is no data class")
        fields = self.construct_mapping(node, deep=True)
        check_data(fields, self.trust)  # Nobody looks into the object later.
        return found(**fields)

    def refuse(self, node: yaml.Node) -> Any:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        line = node.start_mark.line + 1
        raise UntrustedError(f"line {line} holds {tag}, which would run code or make an object")


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _Loader.tuple)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", _Loader.name)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/object:", _Loader.dataclass)
_Loader.add_constructor(None, _Loader.refuse)
