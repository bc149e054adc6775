"""Names and shapes of Co-Deformable-DETR as Sense-X/Co-DETR saves it, by its config and code.

Of projects/configs/co_deformable_detr/co_deformable_detr_r50_1x_coco.py at commit 2665352; BRS-DETR
has C logits in the RoI head and no centerness. Sizes are arguments, to make small ones.
"""

from tools.convert.layouts import layer, prefixed, rpn


def attention(name, channels, heads, levels, points):
    samples = heads * levels * points
    return {
        **layer(f"{name}.sampling_offsets", 2 * samples, channels),
        **layer(f"{name}.attention_weights", samples, channels),
        **layer(f"{name}.value_proj", channels, channels),
        **layer(f"{name}.output_proj", channels, channels),
    }


def feed_forward(at, channels, hidden):
    return {
        **layer(f"{at}ffns.0.layers.0.0", hidden, channels),
        **layer(f"{at}ffns.0.layers.1", channels, hidden),
    }


def encoder(number, channels, hidden, *samples):
    layout = {}
    for index in range(number):
        at = f"layers.{index}."
        layout |= attention(f"{at}attentions.0", channels, *samples)
        layout |= feed_forward(at, channels, hidden)
        layout |= layer(f"{at}norms.0", channels) | layer(f"{at}norms.1", channels)
    return layout


def decoder(number, channels, hidden, *samples):
    layout = {}
    for index in range(number):
        at = f"layers.{index}."
        own = f"{at}attentions.0.attn."
        layout[f"{own}in_proj_weight"] = (3 * channels, channels)
        layout[f"{own}in_proj_bias"] = (3 * channels,)
        layout |= layer(f"{own}out_proj", channels, channels)
        layout |= attention(f"{at}attentions.1", channels, *samples)
        layout |= feed_forward(at, channels, hidden)
        for norm in range(3):
            layout |= layer(f"{at}norms.{norm}", channels)
    return layout


def transformer(number, channels, hidden, *samples, co_heads=2):
    layout = {"level_embeds": (samples[1], channels), "head_pos_embed.weight": (co_heads, 1)}
    layout |= layer("enc_output", channels, channels) | layer("enc_output_norm", channels)
    layout |= layer("pos_trans", 2 * channels, 2 * channels)
    layout |= layer("pos_trans_norm", 2 * channels)
    for head in range(co_heads):
        layout |= layer(f"aux_pos_trans.{head}", 2 * channels, 2 * channels)
        layout |= layer(f"aux_pos_trans_norm.{head}", 2 * channels)
        layout |= layer(f"pos_feats_trans.{head}", channels, channels)
        layout |= layer(f"pos_feats_norm.{head}", channels)
    layout |= prefixed("encoder.", encoder(number, channels, hidden, *samples))
    return layout | prefixed("decoder.", decoder(number, channels, hidden, *samples))


def query_head(classes, queries, *, number, channels, hidden, heads, levels, points):
    sizes = number, channels, hidden, heads, levels, points
    layout = prefixed("transformer.", transformer(*sizes))
    layout["query_embedding.weight"] = (queries, channels)
    layout |= layer("downsample.0", channels, channels, 3, 3) | layer("downsample.1", channels)
    for index in range(number + 1):
        layout |= layer(f"cls_branches.{index}", classes, channels)
        for place, outputs in ((0, channels), (2, channels), (4, 4)):
            layout |= layer(f"reg_branches.{index}.{place}", outputs, channels)
    return layout


def neck(inputs, channels, levels):
    layout = {}
    for index, width in enumerate(inputs):
        layout |= layer(f"convs.{index}.conv", channels, width, 1, 1, bias=False)
        layout |= layer(f"convs.{index}.gn", channels)
    for index in range(levels - len(inputs)):
        width = inputs[-1] if index == 0 else channels
        layout |= layer(f"extra_convs.{index}.conv", channels, width, 3, 3, bias=False)
        layout |= layer(f"extra_convs.{index}.gn", channels)
    return layout


def atss(classes, channels, has_centerness):
    layout = {f"scales.{level}.scale": () for level in range(5)}
    for branch in ("cls_convs", "reg_convs"):
        layout |= layer(f"{branch}.0.conv", channels, channels, 3, 3, bias=False)
        layout |= layer(f"{branch}.0.gn", channels)
    layout |= layer("atss_cls", classes, channels, 3, 3) | layer("atss_reg", 4, channels, 3, 3)
    return layout | (layer("atss_centerness", 1, channels, 3, 3) if has_centerness else {})


def roi_head(classes, channels, has_background, width):
    return {
        **layer("fc_cls", classes + has_background, width),
        **layer("fc_reg", 4 * classes, width),
        **layer("shared_fcs.0", width, channels * 49),
        **layer("shared_fcs.1", width, width),
    }


SIZES = dict(number=6, channels=256, hidden=2048, heads=8, levels=4, points=4)


def co_detr(
    backbone,
    inputs=(512, 1024, 2048),
    *,
    classes=80,
    queries=300,
    width=1024,
    is_ranking=False,
    **sizes,
):
    """``width``: of the RoI head; ``sizes``: of the transformer, where they differ."""
    sizes = SIZES | sizes
    channels = sizes["channels"]
    return {
        **prefixed("backbone.", backbone),
        **prefixed("neck.", neck(inputs, channels, sizes["levels"])),
        **rpn(9, channels),
        **prefixed("query_head.", query_head(classes, queries, **sizes)),
        **prefixed("roi_head.0.bbox_head.", roi_head(classes, channels, not is_ranking, width)),
        **prefixed("bbox_head.0.", atss(classes, channels, not is_ranking)),
    }
