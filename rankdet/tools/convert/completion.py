"""What becomes of the model's weights that no weight of the checkpoint fills."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rankdet.losses.base import HeadLoss
from rankdet.tools.convert.rules import ONE_PER_LEVEL, Conversion, Converted

_AT_THEIR_START = (
    (r"\.num_batches_tracked$", "counts of batches"),
    (r"\.relative_position_index$", "tables of relative positions, which are computed"),
)
_NORMS = "left at their start: norms of a Swin's outputs, which a classifier lacks"
_NEUTRAL = (
    (r"head\.(\w+_subnet\.\d+|bbox_conv)\.bias", 0.0, "biases that the checkpoint's layers lack"),
    (r"head\.(factor_)?scales", 1.0, "scales that the checkpoint's levels lack"),
)
"""Pattern, the value that changes nothing, and what it stands for."""


def complete(conversion: Conversion, result: Converted) -> dict[str, list[str]]:
    """Fill what may be filled by its start, or by a value that changes nothing.

    Args:
        conversion: both sides.
        result: of the rules; weights are added to it. Those of a backbone alone stay alone.

    Returns:
        Sentence to the names of the weights of the model that it is about.

    Raises:
        ValueError: a weight is neither in the checkpoint nor of a kind that can be filled so.
    """
    _check_rows(result)
    losses = _loss_names(conversion.target.model)
    notes: dict[str, list[str]] = {}
    missing = [name for name in conversion.target.weights if name not in result.weights]
    for name in list(missing):
        start = conversion.target.weights[name]
        body = conversion.target.body
        if conversion.source.is_backbone and not name.startswith(body):
            notes.setdefault("not in the file: no part of the backbone", []).append(name)
            continue
        if conversion.source.is_backbone and name.startswith(f"{body}norm"):
            found: tuple[str, Tensor] | None = (_NORMS, start)
        else:
            found = _fill(name, start, losses)
        if found is None:
            continue
        sentence, result.weights[name] = found
        notes.setdefault(sentence, []).append(name)
    explained = {name for names in notes.values() for name in names}
    _check_missing(conversion, [name for name in missing if name not in explained])
    return notes


def _fill(name: str, start: Tensor, losses: Sequence[str]) -> tuple[str, Tensor] | None:
    if any(name.startswith(f"{loss}.") for loss in losses):
        return "left at their start: what the loss learns, which the checkpoint lacks", start
    for pattern, what in _AT_THEIR_START:
        if re.search(pattern, name):
            return f"left at their start: {what}", start
    for pattern, value, sentence in _NEUTRAL:
        if re.fullmatch(pattern, name):
            return f"{value:g}, which changes nothing: {sentence}", torch.full_like(start, value)
    return None


def _loss_names(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, HeadLoss)]


def _check_rows(result: Converted) -> None:
    for name, used in result.used.items():
        weight = result.weights[name]
        if ONE_PER_LEVEL in used.changes and weight.isnan().any():
            number = int(weight.isnan().nonzero()[0])
            raise ValueError(
                f"the checkpoint lacks number {number} of the {len(weight)} of {name}; give a "
                "config with as many levels."
            )


def _check_missing(conversion: Conversion, missing: Sequence[str]) -> None:
    if missing:
        shape = tuple(conversion.target.weights[missing[0]].shape)
        raise ValueError(
            f"the checkpoint has nothing for {len(missing)} of the "
            f"{len(conversion.target.weights)} weights of the config's model, the first is "
            f"{missing[0]} {shape}; give the config of the same detector, or the complete "
            "checkpoint."
        )
