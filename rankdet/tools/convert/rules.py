"""The one way in which weights get from a checkpoint into a model: by a table of rules."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from rankdet.tools.convert.source import Source
from rankdet.tools.convert.target import Target, like


class Changed(NamedTuple):
    """A weight after a change."""

    tensor: Tensor
    what: str = ""
    """For the summary; empty: it is as it was."""


@dataclass
class Conversion:
    """What is known of both sides, and what had to be assumed."""

    source: Source
    target: Target
    assumptions: list[str] = field(default_factory=list)

    def assume(self, sentence: str) -> None:
        """Note, once, what no weight shows."""
        if sentence not in self.assumptions:
            self.assumptions.append(sentence)


class Piece(NamedTuple):
    """A weight on its way."""

    tensor: Tensor
    source_name: str
    target_name: str
    groups: dict[str, str]
    """What the pattern of the rule has found."""
    conversion: Conversion


ONE_PER_LEVEL = "one number for each level"

Change = Callable[[Piece], Changed]


class _Part(str):
    """A found part of a name, which ``{part:+1}`` counts on."""

    def __format__(self, spec: str) -> str:
        return str(int(self) + int(spec)) if spec else str(self)


@dataclass(frozen=True)
class Rule:
    """Where the weights of a pattern go.

    Attributes:
        source: regular expression with named groups, of the whole name.
        target: name, in which ``{group}`` is what was found, and ``{group:+1}`` one more. Empty:
            the weight is not needed, because of ``reason``.
        changes: made in turn.
        row: index, in the same way, where the weight is one number of a longer vector.
        reason: why the weight may be left out where the model has none of that name. Empty: then
            it may not.
        remedy: what to do where the shapes differ, or the model has none of that name.
    """

    source: str
    target: str = ""
    changes: tuple[Change, ...] = ()
    row: str = ""
    reason: str = ""
    remedy: str = ""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.source)

    def match(self, name: str) -> dict[str, str] | None:
        """What the groups find in the name of a weight; None: the rule is not for it."""
        found = self._pattern.fullmatch(name)
        return None if found is None else {k: _Part(v or "") for k, v in found.groupdict().items()}


class Used(NamedTuple):
    """A weight that was filled."""

    source_names: list[str]
    changes: list[str]


@dataclass
class Converted:
    """The result of all rules."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    used: dict[str, Used] = field(default_factory=dict)
    """By name in the model."""
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Reason to names in the checkpoint."""


def convert_weights(conversion: Conversion, rules: Sequence[Rule]) -> Converted:
    """Send every weight of the source through all rules that are for it.

    Args:
        conversion: both sides.
        rules: of all parts.

    Raises:
        ValueError: no rule is for a weight, the model has no place for one, two go to the same
            place, or a shape differs.
    """
    result = Converted()
    unknown = []
    for name in conversion.source.weights:
        matches = [(rule, rule.match(name)) for rule in rules]
        found = [(rule, groups) for rule, groups in matches if groups is not None]
        if not found:
            unknown.append(name)
            continue
        is_used = [_apply(rule, name, groups, conversion, result) for rule, groups in found]
        if not any(is_used):
            _leave_out(name, [rule for rule, _ in found], conversion, result)
    _check_known(conversion, unknown)
    return result


def _apply(
    rule: Rule, name: str, groups: dict[str, str], conversion: Conversion, result: Converted
) -> bool:
    """Fill a weight; False: the model has none for it."""
    target_name = rule.target.format(**groups)
    if target_name not in conversion.target.weights:
        return False
    if rule.row:
        return _fill_row(int(rule.row.format(**groups)), name, target_name, conversion, result)
    if target_name in result.used:
        (other,) = result.used[target_name].source_names
        raise ValueError(f"{other} and {name} of the checkpoint are both {target_name}.")
    piece = Piece(conversion.source.weights[name], name, target_name, groups, conversion)
    try:
        tensor, whats = _changed(piece, rule.changes)
    except (RuntimeError, IndexError) as error:  # The shape is none that can be changed.
        raise ValueError(_shape_message(conversion, name, target_name, rule)) from error
    expected = conversion.target.weights[target_name]
    if tensor.shape != expected.shape:
        raise ValueError(_shape_message(conversion, name, target_name, rule))
    result.weights[target_name] = like(tensor, expected)
    result.used[target_name] = Used([name], whats)
    return True


def _changed(piece: Piece, changes: Sequence[Change]) -> tuple[Tensor, list[str]]:
    whats = []
    for change in changes:
        tensor, what = change(piece)
        piece = piece._replace(tensor=tensor)
        whats += [what] if what else []
    return piece.tensor, whats


def _fill_row(
    row: int, name: str, target_name: str, conversion: Conversion, result: Converted
) -> bool:
    """Fill one number of a vector, which starts as NaN."""
    expected = conversion.target.weights[target_name]
    tensor = conversion.source.weights[name]
    if tensor.numel() != 1 or row >= len(expected):
        raise ValueError(
            f"{name} of the checkpoint, of shape {tuple(tensor.shape)}, is no number {row} of "
            f"{target_name} {tuple(expected.shape)}; give a config with as many levels."
        )
    vector = result.weights.setdefault(target_name, torch.full_like(expected, math.nan))
    vector[row] = tensor.reshape(())
    result.used.setdefault(target_name, Used([], [ONE_PER_LEVEL])).source_names.append(name)
    return True


def _leave_out(name: str, rules: Sequence[Rule], conversion: Conversion, result: Converted) -> None:
    reason = next((rule.reason for rule in rules if rule.reason), "")
    if not reason:
        rule = rules[0]
        shape = tuple(conversion.source.weights[name].shape)
        place = rule.target.format(**(rule.match(name) or {}))
        raise ValueError(
            f"the checkpoint has {name} {shape}, but the config's model has no {place}; "
            f"{rule.remedy or 'give the config of the same detector'}."
        )
    result.ignored[reason].append(name)


def _shape_message(conversion: Conversion, name: str, target_name: str, rule: Rule) -> str:
    found = tuple(conversion.source.weights[name].shape)
    expected = tuple(conversion.target.weights[target_name].shape)
    return (
        f"{name} of the checkpoint has shape {found}, but {target_name} of the config's model "
        f"{expected}; {rule.remedy or 'give the config of the same detector'}."
    )


def _check_known(conversion: Conversion, unknown: Sequence[str]) -> None:
    if unknown:
        shape = tuple(conversion.source.weights[unknown[0]].shape)
        raise ValueError(
            f"{len(unknown)} of {len(conversion.source.weights)} weights of the checkpoint are not "
            f"known, the first is {unknown[0][:120]!r} {shape}; rankdet converts Faster, Mask and "
            "Cascade R-CNN, RetinaNet, FCOS, ATSS, PAA and VarifocalNet with a ResNet, ResNeXt or "
            "Swin and an FPN, and Co-DETR."
        )
