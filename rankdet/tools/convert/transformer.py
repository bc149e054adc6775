"""Rules for Co-DETR: Deformable DETR, and collaborative heads that are detectors of their own.

Of mmdetection 2.25 with Co-DETR's ``projects`` (Co-Deformable-DETR), and BRS-DETR's of the same
names. The heads convert as a Faster R-CNN and an ATSS without backbone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from rankdet.modeling.detr import CollaborativeATSS, CollaborativeRCNN
from rankdet.tools.convert.rules import Change, Changed, Conversion, Converted, Piece, Rule, Used
from rankdet.tools.convert.settings import Settings
from rankdet.tools.convert.target import Target

_KIND = r"(?P<kind>weight|bias)"
_TRANSFORMER = r"query_head\.transformer\."
_LAYERS = "give a config with as many layers, channels, heads, levels and points"
_CLASSES = "give the config as many classes (model.num_classes)"
_NECK = "give a config with the same backbone and as many levels"
_COLLABORATIVE = "of the training with collaborative heads, which the config's model does not have"
_ROI, _ATSS = 0, 1
"""Numbers of the heads in the release."""


class Part(NamedTuple):
    """A collaborative head, as a conversion of its own."""

    prefix: str
    """In front of its names in the model."""
    source_names: dict[str, str]
    """Names of the part to names of the checkpoint."""
    conversion: Conversion


def parts_of(conversion: Conversion) -> list[Part]:
    """The collaborative heads of the model; those of the checkpoint that it lacks are none.

    Args:
        conversion: both sides; assumptions on parts are noted there.
    """
    heads = getattr(conversion.target.model, "heads", {})
    return [_part(conversion, name, head) for name, head in heads.items()]


def _part(conversion: Conversion, name: str, head: nn.Module) -> Part:
    prefix = f"heads.{name}."
    if isinstance(head, CollaborativeATSS):
        prefix, head = f"{prefix}detector.", head.detector
        beginnings = {"bbox_head.0.": "bbox_head."}
    else:
        beginnings = {"rpn_head.": "rpn_head.", "roi_head.0.": "roi_head."}
    source_names = dict(_renamed(conversion.source.weights, beginnings))
    of_checkpoint, target = conversion.source, conversion.target
    source = of_checkpoint._replace(
        weights={ours: of_checkpoint.weights[theirs] for ours, theirs in source_names.items()},
        settings=_settings(of_checkpoint.settings),
    )
    weights = {x[len(prefix) :]: w for x, w in target.weights.items() if x.startswith(prefix)}
    target = target._replace(model=head, weights=weights)
    return Part(prefix, source_names, Conversion(source, target, conversion.assumptions))


def _renamed(names: Mapping[str, Any], beginnings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in names:
        for theirs, ours in beginnings.items():
            if name.startswith(theirs):
                yield ours + name[len(theirs) :], name


def _settings(settings: Settings) -> Settings:
    """Those of Co-DETR, which has lists of heads, as of a detector with one of each kind."""
    if not settings.is_known:
        return settings
    firsts = {name: settings.get(name, 0) for name in ("roi_head", "bbox_head")}
    return Settings({**settings.content, "model": {**settings.content["model"], **firsts}})


def without_parts(conversion: Conversion, parts: list[Part]) -> Conversion:
    """What is left for the rules of the transformer."""
    taken = {name for part in parts for name in part.source_names.values()}
    weights = {x: w for x, w in conversion.source.weights.items() if x not in taken}
    source = conversion.source._replace(weights=weights)
    return Conversion(source, conversion.target, conversion.assumptions)


def add_part(result: Converted, part: Part, of_part: Converted) -> None:
    """Add what was converted of a part to the result of the rest."""
    for name, weight in of_part.weights.items():
        result.weights[part.prefix + name] = weight
    for name, used in of_part.used.items():
        names = [part.source_names[source] for source in used.source_names]
        result.used[part.prefix + name] = Used(names, used.changes)
    for reason, names in of_part.ignored.items():
        result.ignored[reason] += [part.source_names[source] for source in names]


def transformer_rules(target: Target) -> list[Rule]:
    """Rules for neck, encoder, decoder, query selection, and queries of collaborative heads."""
    decoder: Any = target.model.decoder
    return [
        *_neck_rules(),
        *_layer_rules("encoder", ("attentions.0",), ("attention", "feed_forward")),
        *_layer_rules(
            "decoder",
            ("attentions.0.attn", "attentions.1"),
            ("self_attention", "attention", "feed_forward"),
        ),
        *_head_rules(len(decoder.layers)),
        *_selection_rules(),
        *_collaborative_rules(target),
        Rule(r"(rpn_head|roi_head|bbox_head)\..+", reason=_COLLABORATIVE),
    ]


def _neck_rules() -> list[Rule]:
    at = r"neck\.(?P<part>convs|extra_convs)\.(?P<n>\d)\."
    return [
        Rule(rf"{at}conv\.{_KIND}", "neck.{part}.{n}.0.{kind}", remedy=_NECK),
        Rule(rf"{at}gn\.{_KIND}", "neck.{part}.{n}.1.{kind}", remedy=_NECK),
    ]


def _layer_rules(part: str, attentions: Sequence[str], ours: Sequence[str]) -> list[Rule]:
    """Rules for the layers of encoder or decoder; a norm follows each of their parts."""
    at, layer = rf"{_TRANSFORMER}{part}\.layers\.(?P<n>\d+)\.", f"{part}.layers.{{n}}."
    rules = [
        Rule(rf"{at}{re.escape(name)}\.(?P<rest>.+)", f"{layer}{our}.{{rest}}", remedy=_LAYERS)
        for name, our in zip(attentions, ours, strict=False)
    ]
    rules += [
        Rule(rf"{at}norms\.{index}\.{_KIND}", f"{layer}{our}_norm.{{kind}}", remedy=_LAYERS)
        for index, our in enumerate(ours)
    ]
    for name, our in (("0.0", "0"), ("1", "3")):
        source = rf"{at}ffns\.0\.layers\.{re.escape(name)}\.{_KIND}"
        rules.append(Rule(source, f"{layer}feed_forward.{our}.{{kind}}", remedy=_LAYERS))
    return rules


def _head_rules(num_layers: int) -> list[Rule]:
    """Rules for the heads of the decoder's layers, behind which come those of the encoder."""
    at, place = r"query_head\.", r"(?P<place>[024])"
    return [
        Rule(
            rf"{at}cls_branches\.(?!{num_layers}\.)(?P<n>\d+)\.{_KIND}",
            "decoder.class_heads.{n}.{kind}",
            remedy=_CLASSES,
        ),
        Rule(
            rf"{at}reg_branches\.(?!{num_layers}\.)(?P<n>\d+)\.{place}\.{_KIND}",
            "decoder.box_heads.{n}.{place}.{kind}",
            remedy=_LAYERS,
        ),
        Rule(
            rf"{at}cls_branches\.{num_layers}\.{_KIND}",
            "query_selection.class_head.{kind}",
            (_objectness,),
        ),
        Rule(
            rf"{at}reg_branches\.{num_layers}\.{place}\.{_KIND}",
            "query_selection.box_head.{place}.{kind}",
        ),
    ]


def _objectness(piece: Piece) -> Changed:
    """Class 0 of the encoder, which means "object": all are relabeled to it, it alone is read."""
    return Changed(piece.tensor[:1], "class 0 of the encoder, which means any object")


def _selection_rules() -> list[Rule]:
    ours = {
        "enc_output": "projection",
        "enc_output_norm": "norm",
        "pos_trans": "position",
        "pos_trans_norm": "position_norm",
    }
    queries = "give the config as many queries (model.query_selection.num_queries)"
    return [
        Rule(rf"{_TRANSFORMER}level_embeds", "encoder.level_embedding", remedy=_LAYERS),
        Rule(
            r"query_head\.query_embedding\.weight",
            "query_selection.contents.weight",
            remedy=queries,
        ),
        *(
            Rule(rf"{_TRANSFORMER}{theirs}\.{_KIND}", f"query_selection.{our}.{{kind}}")
            for theirs, our in ours.items()
        ),
    ]


def _collaborative_rules(target: Target) -> list[Rule]:
    further = r"query_head\.downsample\."
    rules = [
        Rule(rf"{further}0\.{_KIND}", "further_map.0.{kind}", reason=_COLLABORATIVE),
        Rule(rf"{further}1\.{_KIND}", "further_map.1.{kind}", reason=_COLLABORATIVE),
    ]
    for name, head in getattr(target.model, "heads", {}).items():
        number = _ROI if isinstance(head, CollaborativeRCNN) else _ATSS
        rules += _query_rules(number, f"auxiliary_queries.{name}.")
    queries = r"(aux_pos_trans|aux_pos_trans_norm|pos_feats_trans|pos_feats_norm|head_pos_embed)"
    return [*rules, Rule(rf"{_TRANSFORMER}{queries}\..+", reason=_COLLABORATIVE)]


def _query_rules(number: int, ours: str) -> list[Rule]:
    at = _TRANSFORMER
    return [
        Rule(rf"{at}aux_pos_trans\.{number}\.{_KIND}", f"{ours}boxes.0.{{kind}}"),
        Rule(rf"{at}aux_pos_trans_norm\.{number}\.{_KIND}", f"{ours}boxes.1.{{kind}}"),
        Rule(rf"{at}pos_feats_trans\.{number}\.{_KIND}", f"{ours}features.0.{{kind}}"),
        Rule(rf"{at}pos_feats_norm\.{number}\.{_KIND}", f"{ours}features.1.{{kind}}"),
        Rule(rf"{at}head_pos_embed\.weight", f"{ours}position", (_of_head(number),)),
    ]


def _of_head(number: int) -> Change:
    """The position of a head: one number in the release, which is added to all channels."""

    def change(piece: Piece) -> Changed:
        expected = piece.conversion.target.weights[piece.target_name]
        row = piece.tensor[number].reshape(1, -1)
        what = "one number per head repeated for all channels" if row.shape[1] == 1 else ""
        return Changed(row.expand_as(expected), what)

    return change
