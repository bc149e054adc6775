"""Checks the values of a config, so that a wrong one ends a run before its work begins."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

_MISSING = object()


class Rule(NamedTuple):
    """What one key may hold."""

    key: str
    """Dotted."""
    allows: Callable[[Any], bool]
    remedy: str
    is_required: bool = False


def _whole(low: int, optional: bool = False) -> Callable[[Any], bool]:
    def allows(value: Any) -> bool:
        is_none = optional and value is None
        return is_none or (isinstance(value, int) and not isinstance(value, bool) and value >= low)

    return allows


def _number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[Any], bool]:
    def allows(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return low <= value <= high and math.isfinite(value) and not (above and value == low)

    return allows


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_names(value: Any) -> bool:
    if not isinstance(value, list | tuple | ListConfig):
        return _is_name(value)
    return len(value) > 0 and all(map(_is_name, value))


def _is_share(value: Any) -> bool:
    return _number(0, 1)(value) and value < 1


def _is_betas(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple | ListConfig) and len(value) == 2
    return is_pair and all(map(_is_share, value))


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _is_parts(value: Any) -> bool:
    if not isinstance(value, list | tuple | ListConfig):
        return _is_part(value)
    return len(value) > 0 and all(map(_is_part, value))


_FLAG = "give True or False"
_PART = "give a part with a _target_, as L(...) makes it"
_NAMES = "give the name of a registered data set, or a list of them"


def _at_least(low: int) -> str:
    return f"give a whole number of {low} or more"


RULES = (
    Rule("train.output_dir", _is_name, "give a folder", True),
    Rule("train.init_checkpoint", _is_text, "give a file, or '' for none", True),
    Rule("train.max_iter", _whole(1), _at_least(1), True),
    Rule("train.eval_period", _whole(0), f"{_at_least(0)}; 0: only at the end", True),
    Rule("train.log_period", _whole(1), _at_least(1), True),
    Rule("train.seed", _whole(0), f"{_at_least(0)}: a training is always seeded", True),
    Rule("train.device", _is_name, "give cpu, cuda or cuda:N", True),
    Rule("train.checkpointer.period", _whole(1), _at_least(1), True),
    Rule(
        "train.checkpointer.max_to_keep", _whole(1, optional=True), f"{_at_least(1)}, or null: all"
    ),
    Rule("train.amp.enabled", _is_flag, _FLAG, True),
    Rule("train.ddp.broadcast_buffers", _is_flag, _FLAG),
    Rule("train.ddp.find_unused_parameters", _is_flag, _FLAG),
    Rule("train.ddp.fp16_compression", _is_flag, _FLAG),
    Rule("model", _is_part, _PART, True),
    Rule("optimizer", _is_part, _PART, True),
    Rule("optimizer.params", _is_part, _PART, True),
    Rule("optimizer.lr", _number(0, above=True), "give a number above 0"),
    Rule("optimizer.weight_decay", _number(0), "give a number of 0 or more"),
    Rule("optimizer.momentum", _is_share, "give a number from 0 to less than 1"),
    Rule("optimizer.betas", _is_betas, "give two numbers from 0 to less than 1"),
    Rule("lr_multiplier", _is_part, _PART, True),
    Rule("lr_multiplier.warmup_length", _number(0, 1), "give the share of the training, 0 to 1"),
    Rule("dataloader.train", _is_part, _PART, True),
    Rule("dataloader.train.dataset.names", _is_names, _NAMES, True),
    Rule("dataloader.train.total_batch_size", _whole(1), _at_least(1)),
    Rule("dataloader.train.num_workers", _whole(0), _at_least(0)),
    Rule("dataloader.train.aspect_ratio_grouping", _is_flag, _FLAG),
    Rule("dataloader.train.mapper.use_instance_mask", _is_flag, _FLAG),
    Rule("dataloader.test", _is_part, _PART, True),
    Rule("dataloader.test.dataset.names", _is_names, _NAMES, True),
    Rule("dataloader.test.mapper", _is_part, _PART, True),
    Rule("dataloader.test.batch_size", _whole(1), _at_least(1)),
    Rule("dataloader.test.num_workers", _whole(0), _at_least(0)),
    Rule("dataloader.evaluator", _is_parts, f"{_PART}, or a list of such parts", True),
)
_SECTIONS = (
    *("train", "train.checkpointer", "train.amp", "train.ddp"),
    *("dataloader", "dataloader.train", "dataloader.test"),
)


def check_config(cfg: DictConfig) -> None:
    """Check the values that the engine, the trainers and the loaders read.

    Args:
        cfg: experiment, overrides applied.

    Raises:
        ValueError: a value is missing or of another kind, or an interpolation leads nowhere.
    """
    try:
        _check_sections(cfg)
        OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        key = error.full_key or "the config"
        raise ValueError(
            f"{key} can't be resolved ({reason}); check the ${{...}} in it."
        ) from error
    _check_values(cfg)


def _check_sections(cfg: DictConfig) -> None:
    for key in _SECTIONS:
        if not isinstance(_value(cfg, key), Mapping):
            raise ValueError(f"{key} is {_shown(_value(cfg, key))}; give a section of keys.")
    hooks = cfg.get("hooks", {})
    if not isinstance(hooks, Mapping):
        raise ValueError(f"hooks is {_shown(hooks)}; give a section: a name for each hook.")


def _check_values(cfg: DictConfig) -> None:
    hooks = cfg.get("hooks", {})
    for rule in (*RULES, *(Rule(f"hooks.{name}", _is_part, _PART, True) for name in hooks)):
        value = _value(cfg, rule.key)
        if value is _MISSING and not rule.is_required:
            continue
        if not rule.allows(value):
            raise ValueError(f"{rule.key} is {_shown(value)}; {rule.remedy}.")


def _value(cfg: DictConfig, key: str) -> Any:
    """The value of a dotted key; ``_MISSING``: there is none."""
    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _MISSING
        node = node[part]
    return node


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "missing"
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=False)
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
