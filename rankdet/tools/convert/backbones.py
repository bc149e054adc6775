"""Rules for ResNet, ResNeXt, Swin and FPN."""

from rankdet.tools.convert.changes import fit_image
from rankdet.tools.convert.rules import Changed, Piece, Rule
from rankdet.tools.convert.target import Target

_SAME = "give a config with the same backbone"
_LEVELS = "give a config with the same FPN levels"
_KIND = r"(?P<kind>weight|bias)"


def backbone_rules(prefix: str, body: str, *, merges_first: bool = False) -> list[Rule]:
    """Rules for a backbone.

    Args:
        prefix: in front of its names: ``backbone.`` in a detector, empty in a file of its own.
        body: in front of the names of the model's.
        merges_first: whether a Swin counts a layer that merges patches to the stage behind it.
    """
    start = prefix.replace(".", r"\.")
    rules = [*_resnet_rules(start, body), *_swin_rules(start, body)]
    rules += _original_swin_rules(start, body, "{stage:-1}" if merges_first else "{stage}")
    if not prefix:
        classifier = "the classifier of ImageNet"
        rules.append(Rule(r"(head\.)?(fc|head|norm)\.(weight|bias)", reason=classifier))
    return rules


def _resnet_rules(start: str, body: str) -> list[Rule]:
    block = rf"{start}layer(?P<stage>\d)\.(?P<block>\d+)\."
    ours = f"{body}res{{stage:+1}}.{{block}}."
    return [
        Rule(rf"{start}conv1\.weight", f"{body}stem.conv1.weight", (fit_image,), remedy=_SAME),
        *norm_rules(rf"{start}bn1", f"{body}stem.conv1.norm"),
        Rule(rf"{block}conv(?P<n>\d)\.weight", f"{ours}conv{{n}}.weight", remedy=_SAME),
        *norm_rules(rf"{block}bn(?P<n>\d)", f"{ours}conv{{n}}.norm"),
        Rule(rf"{block}downsample\.0\.weight", f"{ours}shortcut.weight", remedy=_SAME),
        *norm_rules(rf"{block}downsample\.1", f"{ours}shortcut.norm"),
    ]


def norm_rules(source: str, target: str) -> list[Rule]:
    """Rules for a batch or group norm.

    Args:
        source: pattern of its name.
        target: its name in the model.
    """
    kind = r"(?P<kind>weight|bias|running_mean|running_var)"
    return [
        Rule(rf"{source}\.{kind}", f"{target}.{{kind}}", remedy=_SAME),
        Rule(
            rf"{source}\.num_batches_tracked",
            f"{target}.num_batches_tracked",
            reason="a count of batches, which a norm with fixed statistics does not need",
        ),
    ]


def _swin_rules(start: str, body: str) -> list[Rule]:
    """As mmdetection names Swin."""
    block = rf"{start}stages\.(?P<stage>\d)\.blocks\.(?P<block>\d+)\."
    ours = f"{body}layers.{{stage}}.blocks.{{block}}."
    patch, proj = rf"{start}patch_embed\.", f"{body}patch_embed.proj."
    return [
        Rule(rf"{patch}projection\.weight", f"{proj}weight", (fit_image,), remedy=_SAME),
        Rule(rf"{patch}projection\.bias", f"{proj}bias", remedy=_SAME),
        Rule(rf"{block}(?P<norm>norm[12])\.{_KIND}", f"{ours}{{norm}}.{{kind}}", remedy=_SAME),
        Rule(rf"{block}attn\.w_msa\.(?P<rest>.+)", f"{ours}attn.{{rest}}", remedy=_SAME),
        Rule(rf"{block}ffn\.layers\.0\.0\.{_KIND}", f"{ours}mlp.fc1.{{kind}}", remedy=_SAME),
        Rule(rf"{block}ffn\.layers\.1\.{_KIND}", f"{ours}mlp.fc2.{{kind}}", remedy=_SAME),
        Rule(
            rf"{start}stages\.(?P<stage>\d)\.downsample\.(?P<part>norm|reduction)\.{_KIND}",
            f"{body}layers.{{stage}}.downsample.{{part}}.{{kind}}",
            (_merge_as_published,),
            remedy=_SAME,
        ),
    ]


def _original_swin_rules(start: str, body: str, merging_stage: str) -> list[Rule]:
    """As the authors of Swin and timm name it: Detectron2 has these names and their patches."""
    patch, proj = rf"{start}patch_embed\.", f"{body}patch_embed.proj."
    return [
        Rule(rf"{patch}proj\.weight", f"{proj}weight", (fit_image,), remedy=_SAME),
        Rule(rf"{patch}proj\.bias", f"{proj}bias", remedy=_SAME),
        Rule(rf"{patch}norm\.{_KIND}", f"{body}patch_embed.norm.{{kind}}", remedy=_SAME),
        Rule(
            rf"{start}layers\.(?P<rest>\d+\.blocks\..+(?<!\.attn_mask))",
            f"{body}layers.{{rest}}",
            remedy=_SAME,
        ),
        Rule(
            rf"{start}layers\.(?P<stage>\d+)\.downsample\.(?P<rest>.+)",
            f"{body}layers.{merging_stage}.downsample.{{rest}}",
            remedy=_SAME,
        ),
        Rule(rf"{start}layers\..+\.attn_mask", reason="a mask of attention, which is computed"),
        Rule(
            rf"{start}(?P<norm>norm\d)\.{_KIND}",
            f"{body}{{norm}}.{{kind}}",
            reason="the norm of a stage that the FPN does not read",
        ),
    ]


def _merge_as_published(piece: Piece) -> Changed:
    """Put the four patches that a merging layer joins into the order of Swin's authors.

    mmdetection joins them channel by channel, and in each channel row by row; the authors patch by
    patch, and the patches column by column.
    """
    by_channel = piece.tensor.unflatten(-1, (-1, 4))
    by_patch = by_channel[..., [0, 2, 1, 3]].transpose(-1, -2).flatten(-2)
    return Changed(by_patch, "patches in the order of Swin's authors")


def neck_rules(target: Target) -> list[Rule]:
    """Rules for an FPN, whose levels Detectron2 counts by their stride."""
    first, number = target.first_level, target.num_laterals
    rules = []
    for index in range(number):
        level = first + index
        rules += conv_rules(rf"neck\.lateral_convs\.{index}", f"backbone.fpn_lateral{level}")
        rules += conv_rules(rf"neck\.fpn_convs\.{index}", f"backbone.fpn_output{level}")
    for index in (0, 1):
        source = rf"neck\.fpn_convs\.{number + index}"
        rules += conv_rules(source, f"backbone.top_block.p{6 + index}")
    rest = r"neck\.(lateral|fpn)_convs\..+"
    return [*rules, Rule(rest, "place for it among its FPN levels", remedy=_LEVELS)]


def conv_rules(source: str, target: str, remedy: str = _LEVELS) -> list[Rule]:
    """Rules for a convolution and its norm, as mmdetection and Detectron2 name the pair.

    Args:
        source: pattern of the name of the pair.
        target: name of the convolution in the model.
        remedy: where the shapes differ.
    """
    return [
        Rule(rf"{source}\.conv\.{_KIND}", f"{target}.{{kind}}", remedy=remedy),
        *norm_rules(rf"{source}\.[gb]n", f"{target}.norm"),
    ]
