"""Loads a LazyConfig, applies ``key=value``, and rejects unknown keys."""

import difflib
import inspect
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectron2.config import LazyConfig
from detectron2.utils.registry import locate
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, ListConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from rankdet.engine.config_file import read_config
from rankdet.engine.config_schema import check_config
from rankdet.engine.renamed import hint_of_key

SECTIONS = ("train", "model", "dataloader", "optimizer", "lr_multiplier", "hooks")


def load_config(path: str, overrides: Iterable[str] = (), trust: Sequence[str] = ()) -> DictConfig:
    """Load an experiment and apply command-line overrides.

    Args:
        path: a config file (``.py``), which is run; the name of one of rankdet's configs
            (``glyphs/mask_rcnn_r18_fpn_ecm.py``); or the ``config.yaml`` that a run has saved,
            which is data: of what it names, only parts of detectors are called.
        overrides: ``key=value`` in hydra's grammar, e.g. ``train.max_iter=100``. They come from
            the user and may name any code.
        trust: further modules whose code a ``config.yaml`` may name.

    Returns:
        A config with the sections ``SECTIONS``; ``train.seed`` is 0 where the file has none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no config, is damaged or lacks a section, names code that is not
            trusted, an override is no ``key=value``, or it names a key that neither the config nor
            the constructor it configures has; or see
            :func:`rankdet.engine.config_schema.check_config`.
    """
    cfg: DictConfig = _sections(read_config(path, trust), path)
    _fill_in(cfg.train)
    for override in _parse(list(overrides)):
        _check_key(cfg, override.key_or_group, override.value())
    try:
        cfg = LazyConfig.apply_overrides(cfg, list(overrides))
    except (OmegaConfBaseException, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the overrides {list(overrides)} do not fit {path}: {reason}.") from error
    try:
        check_config(cfg)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return cfg


def _fill_in(train: DictConfig) -> None:
    """Add what Detectron2's own configs leave out: a seed, and "" for no checkpoint."""
    with open_dict(train):
        train.setdefault("seed", 0)
        train.init_checkpoint = train.get("init_checkpoint") or ""


def _sections(content: DictConfig, path: str) -> DictConfig:
    """The sections of an experiment, without the parts that it imported to build them."""
    missing = [name for name in SECTIONS[:-1] if name not in content]
    if missing:
        raise ValueError(f"{path} has no section {', '.join(missing)}; an experiment needs them.")
    sections = {name: content[name] for name in SECTIONS if name in content}
    for name, section in sections.items():
        if not isinstance(section, DictConfig):
            raise ValueError(f"{path}: the section {name} is {section!r}, but has to be a mapping.")
    return DictConfig(sections, flags={"allow_objects": True})


def _parse(overrides: list[str]) -> list[Any]:
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise _unreadable(error.override) from error
    for override in parsed:
        if override.is_delete() or override.is_sweep_override():
            raise _unreadable(override.input_line)
    return parsed


def _unreadable(override: object) -> ValueError:
    found = re.fullmatch(r"(\+{0,2}[\w.]+)=(.*)", str(override), re.DOTALL)
    remedy = (
        f"if its value is text, write {shlex.quote(_as_text(*found.groups()))}"
        if found
        else "write key=value, e.g. train.max_iter=100, behind all options that start with --"
    )
    return ValueError(f"cannot read the override {override!r}; {remedy}.")


def _as_text(key: str, value: str) -> str:
    """An override whose value is text, though it may refer to other keys by ``${KEY}``."""
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def _check_key(cfg: DictConfig, key: str, value: object) -> None:
    """Raise ValueError unless every part of a dotted key, and of a dict value, exists."""
    node: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        allowed = _allowed_keys(node)
        if part not in allowed:
            raise ValueError(_unknown_key(parts[: depth + 1], allowed))
        is_set = isinstance(node, ListConfig) or part in node
        node = node[int(part) if isinstance(node, ListConfig) else part] if is_set else None
    if isinstance(value, Mapping) and isinstance(node, DictConfig):
        for name, nested in value.items():
            _check_key(cfg, f"{key}.{name}", nested)


def _allowed_keys(node: object) -> list[str]:
    """Keys of a config node, and the constructor's parameters where it configures an object."""
    if isinstance(node, ListConfig):
        return [str(index) for index in range(len(node))]
    if not isinstance(node, DictConfig):
        return []
    keys = [str(key) for key in node]
    target = node.get("_target_")
    if target is not None:
        target = locate(target) if isinstance(target, str) else target
        keys += [p.name for p in inspect.signature(target).parameters.values() if _is_named(p)]
    return keys


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _unknown_key(parts: list[str], allowed: list[str]) -> str:
    prefix = ".".join(parts[:-1])
    near = difflib.get_close_matches(parts[-1], allowed, n=1, cutoff=0.0)
    hint = f"the nearest is {'.'.join([*parts[:-1], near[0]])!r}" if near else "it has no keys"
    where = f"{prefix!r} has no such key" if prefix else "there is no such section"
    return (
        f"unknown config key {'.'.join(parts)!r}: {where}{hint_of_key(parts[-1]) or f'; {hint}'}."
    )
