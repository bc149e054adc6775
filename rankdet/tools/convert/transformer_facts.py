"""What no weight of a transformer detector shows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import numbers

_LAYERS = "transformerlayers"
_QUERY = "query_head"


class Fact(NamedTuple):
    """One thing that both sides have to agree on."""

    what: str
    source: str | None
    """None: not known."""
    target: str
    remedy: str


def transformer_facts(conversion: Conversion) -> Iterator[Fact]:
    """Numbers of Co-DETR; where its config has none, they are mmdetection's defaults.

    Args:
        conversion: both sides.
    """
    model: Any = conversion.target.model
    encoder, decoder = ((_QUERY, "transformer", x, _LAYERS, "attn_cfgs") for x in _PARTS)
    yield _fact(
        conversion,
        "heads of the encoder's attention",
        ((*encoder, "num_heads"), 8),
        model.encoder.layers[0].attention.num_heads,
        "encoder.num_heads",
    )
    for index, name in enumerate(("self_attention", "attention")):
        yield _fact(
            conversion,
            f"heads of the decoder's {name.replace('_', '-')}",
            ((*decoder, index, "num_heads"), 8),
            getattr(model.decoder.layers[0], name).num_heads,
            "decoder.num_heads",
        )
    yield _fact(
        conversion,
        "temperature of the codes of cells",
        ((_QUERY, "positional_encoding", "temperature"), 10000),
        model.encoder.positions.temperature,
        "encoder.positions.temperature",
    )
    yield _fact(
        conversion,
        "offset of the codes of cells",
        ((_QUERY, "positional_encoding", "offset"), 0),
        -0.5,
        "encoder.positions",
    )
    yield _fact(
        conversion,
        "groups of the neck's normalization",
        (("neck", "norm_cfg", "num_groups"), 32),
        model.neck.convs[0][1].num_groups,
        "neck.num_groups",
    )
    yield Fact(
        "size of the boxes that the encoder starts from",
        "0.05",
        f"{model.query_selection.smallest_size:g}",
        "set model.query_selection.smallest_size to the other value",
    )


_PARTS = ("encoder", "decoder")


def _fact(
    conversion: Conversion,
    what: str,
    place: tuple[tuple[str | int, ...], float],
    ours: float,
    key: str,
) -> Fact:
    """Compare a number at a place of the checkpoint's config, or its default there, with ours."""
    settings, (path, default) = conversion.source.settings, place
    found = numbers([settings.get(*path, default=default)]) if settings.is_known else None
    return Fact(
        what,
        f"{found[0]:g}" if found else None,
        f"{ours:g}",
        f"give the config the other number (model.{key})",
    )
