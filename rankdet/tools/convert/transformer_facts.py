"""What no weight of a transformer detector shows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import Settings, numbers

_TRANSFORMER = ("query_head", "transformer")
_LAYERS = ("transformerlayers", "attn_cfgs")
_CODES = ("query_head", "positional_encoding")
_SMALLEST_SIZE = 0.05
"""Of the release's code, which has no setting for it."""


class Fact(NamedTuple):
    """One thing that both sides have to agree on."""

    what: str
    source: str | None
    """None: not known."""
    target: str
    remedy: str


class _Number(NamedTuple):
    what: str
    path: tuple[str | int, ...]
    """Where the checkpoint's config has it."""
    default: float
    """What mmdetection has where the config is silent."""
    ours: float
    key: str
    """Of the model in our config."""


def transformer_facts(conversion: Conversion) -> Iterator[Fact]:
    """Numbers of Co-DETR that the shapes of its weights leave open.

    Args:
        conversion: both sides.
    """
    model, settings = conversion.target.model, conversion.source.settings
    for number in _numbers(model):
        yield _fact(settings, number)
    selection: Any = model.query_selection
    yield Fact(
        "size of the boxes that the encoder starts from",
        f"{_SMALLEST_SIZE:g}",
        f"{selection.smallest_size:g}",
        "set model.query_selection.smallest_size to the other value",
    )


def _numbers(model: Any) -> Iterator[_Number]:
    encoder, decoder = model.encoder, model.decoder.layers[0]
    for what, path, attention, key in (
        ("encoder", ("encoder", *_LAYERS), encoder.layers[0].attention, "encoder"),
        ("decoder's self-attention", ("decoder", *_LAYERS, 0), decoder.self_attention, "decoder"),
        ("decoder's attention", ("decoder", *_LAYERS, 1), decoder.attention, "decoder"),
    ):
        place = (*_TRANSFORMER, *path, "num_heads")
        yield _Number(f"heads of the {what}", place, 8, attention.num_heads, f"{key}.num_heads")
    yield _Number(
        "temperature of the codes of cells",
        (*_CODES, "temperature"),
        10_000,
        encoder.positions.temperature,
        "encoder.positions.temperature",
    )
    yield _Number(
        "groups of the neck's normalization",
        ("neck", "norm_cfg", "num_groups"),
        32,
        model.neck.convs[0][1].num_groups,
        "neck.num_groups",
    )
    # What rankdet has is fixed: DETR's, as in all releases.
    yield _Number("place of a cell in its code", (*_CODES, "offset"), 0, -0.5, "")


def _fact(settings: Settings, number: _Number) -> Fact:
    value = settings.get(*number.path, default=number.default)
    found = numbers([value]) if settings.is_known else None
    remedy = f"set model.{number.key} to the other value" if number.key else "rankdet has no other"
    source = f"{found[0]:g}" if found else None
    return Fact(number.what, source, f"{number.ours:g}", remedy)
