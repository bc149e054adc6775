"""Names and shapes of weights as mmdetection and the forks of the papers save them.

They are facts of the published configs, written as a function for each part. A layout is a dict of
name to shape.
"""

import torch

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def prefixed(prefix, layout):
    return {prefix + name: shape for name, shape in layout.items()}


def layer(name, *shape, bias=True):
    return {f"{name}.weight": shape, **({f"{name}.bias": shape[:1]} if bias else {})}


def norm(name, channels, is_batch_norm=True):
    layout = layer(name, channels)
    if is_batch_norm:
        layout |= {f"{name}.running_mean": (channels,), f"{name}.running_var": (channels,)}
        layout[f"{name}.num_batches_tracked"] = ()
    return layout


def conv_and_norm(conv, bn, *shape):
    return {**layer(conv, *shape, bias=False), **norm(bn, shape[0])}


def resnet(depth=50, groups=1, width=64):
    """Bottlenecks; torchvision's names are the same."""
    layout, inputs = conv_and_norm("conv1", "bn1", 64, 3, 7, 7), 64
    for stage, blocks in enumerate(BLOCKS[depth]):
        inner, outputs = groups * width * 2**stage, 256 * 2**stage
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}."
            layout |= conv_and_norm(f"{at}conv1", f"{at}bn1", inner, inputs, 1, 1)
            layout |= conv_and_norm(f"{at}conv2", f"{at}bn2", inner, inner // groups, 3, 3)
            layout |= conv_and_norm(f"{at}conv3", f"{at}bn3", outputs, inner, 1, 1)
            if block == 0:
                name = f"{at}downsample."
                layout |= conv_and_norm(f"{name}0", f"{name}1", outputs, inputs, 1, 1)
            inputs = outputs
    return layout


def smoke_resnet():
    """One basic block in each of three stages, of rankdet's smallest config."""
    layout, inputs = conv_and_norm("conv1", "bn1", 32, 3, 7, 7), 32
    for stage, outputs in enumerate((32, 64, 128), start=1):
        at = f"layer{stage}.0."
        layout |= conv_and_norm(f"{at}conv1", f"{at}bn1", outputs, inputs, 3, 3)
        layout |= conv_and_norm(f"{at}conv2", f"{at}bn2", outputs, outputs, 3, 3)
        if inputs != outputs:
            name = f"{at}downsample."
            layout |= conv_and_norm(f"{name}0", f"{name}1", outputs, inputs, 1, 1)
        inputs = outputs
    return layout


def swin(depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), channels=96, first_norm=0):
    layout = {**layer("patch_embed.projection", channels, 3, 4, 4)}
    layout |= layer("patch_embed.norm", channels)
    for stage, (depth, number) in enumerate(zip(depths, heads, strict=True)):
        for block in range(depth):
            at = f"stages.{stage}.blocks.{block}."
            layout |= layer(f"{at}norm1", channels) | layer(f"{at}norm2", channels)
            layout[f"{at}attn.w_msa.relative_position_bias_table"] = (169, number)
            layout[f"{at}attn.w_msa.relative_position_index"] = (49, 49)
            layout |= layer(f"{at}attn.w_msa.qkv", 3 * channels, channels)
            layout |= layer(f"{at}attn.w_msa.proj", channels, channels)
            layout |= layer(f"{at}ffn.layers.0.0", 4 * channels, channels)
            layout |= layer(f"{at}ffn.layers.1", channels, 4 * channels)
        if stage >= first_norm:
            layout |= layer(f"norm{stage}", channels)
        if stage < 3:
            at = f"stages.{stage}.downsample."
            layout |= layer(f"{at}norm", 4 * channels)
            layout |= layer(f"{at}reduction", 2 * channels, 4 * channels, bias=False)
            channels *= 2
    return layout


def original_swin(depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), channels=96, window=7, norms=()):
    """As the authors of Swin name it; classifiers have none of the ``norms``."""
    layout = layer("patch_embed.proj", channels, 3, 4, 4) | layer("patch_embed.norm", channels)
    for stage, (depth, number) in enumerate(zip(depths, heads, strict=True)):
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}."
            layout |= layer(f"{at}norm1", channels) | layer(f"{at}norm2", channels)
            layout[f"{at}attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, number)
            layout[f"{at}attn.relative_position_index"] = (window**2, window**2)
            layout |= layer(f"{at}attn.qkv", 3 * channels, channels)
            layout |= layer(f"{at}attn.proj", channels, channels)
            layout |= layer(f"{at}mlp.fc1", 4 * channels, channels)
            layout |= layer(f"{at}mlp.fc2", channels, 4 * channels)
        if stage in norms:
            layout |= layer(f"norm{stage}", channels)
        if stage < 3:
            at = f"layers.{stage}.downsample."
            layout |= layer(f"{at}norm", 4 * channels)
            layout |= layer(f"{at}reduction", 2 * channels, 4 * channels, bias=False)
            channels *= 2
    return layout


def fpn(inputs, extra_inputs=(), outputs=256):
    layout = {}
    for index, channels in enumerate(inputs):
        layout |= layer(f"neck.lateral_convs.{index}.conv", outputs, channels, 1, 1)
        layout |= layer(f"neck.fpn_convs.{index}.conv", outputs, outputs, 3, 3)
    for index, channels in enumerate(extra_inputs, start=len(inputs)):
        layout |= layer(f"neck.fpn_convs.{index}.conv", outputs, channels, 3, 3)
    return layout


def rpn(anchors=3, channels=256):
    return {
        **layer("rpn_head.rpn_conv", channels, channels, 3, 3),
        **layer("rpn_head.rpn_cls", anchors, channels, 1, 1),
        **layer("rpn_head.rpn_reg", 4 * anchors, channels, 1, 1),
    }


def box_head(logits, deltas, inputs=256 * 49, features=1024):
    return {
        **layer("fc_cls", logits, features),
        **layer("fc_reg", deltas, features),
        **layer("shared_fcs.0", features, inputs),
        **layer("shared_fcs.1", features, features),
    }


def mask_head(classes, inputs=256, channels=256, number=4):
    layout = {}
    for index in range(number):
        size = inputs if index == 0 else channels
        layout |= layer(f"convs.{index}.conv", channels, size, 3, 3)
    layout |= layer("upsample", channels, channels, 2, 2)
    return layout | layer("conv_logits", classes, channels, 1, 1)


def dense_head(kind, classes, anchors=1, number=4, third=True, scales=5, conv_bias=False):
    """``kind`` is how the detector calls its layers: retina, atss or conv (FCOS)."""
    layout = {}
    has_norm = kind != "retina"
    for index in range(number):
        for branch in ("cls_convs", "reg_convs"):
            at = f"bbox_head.{branch}.{index}."
            layout |= layer(f"{at}conv", 256, 256, 3, 3, bias=conv_bias or not has_norm)
            layout |= layer(f"{at}gn", 256) if has_norm else {}
    layout |= layer(f"bbox_head.{kind}_cls", anchors * classes, 256, 3, 3)
    layout |= layer(f"bbox_head.{kind}_reg", anchors * 4, 256, 3, 3)
    if third:
        layout |= layer(f"bbox_head.{kind}_centerness", anchors, 256, 3, 3)
    return layout | {f"bbox_head.scales.{level}.scale": () for level in range(scales)}


def varifocal_head(classes):
    layout = dense_head("vfnet", classes, number=3, third=False)
    layout |= layer("bbox_head.vfnet_reg_conv.conv", 256, 256, 3, 3, bias=False)
    layout |= layer("bbox_head.vfnet_reg_conv.gn", 256)
    for name in ("vfnet_reg_refine_dconv", "vfnet_cls_dconv"):
        layout |= layer(f"bbox_head.{name}", 256, 256, 3, 3, bias=False)
    layout |= layer("bbox_head.vfnet_reg_refine", 4, 256, 3, 3)
    return layout | {f"bbox_head.scales_refine.{level}.scale": () for level in range(5)}


def pcb_layers(logits, deltas, normalizes=False):
    layout = {}
    for name, inputs, outputs in (("cls", logits, 256), ("loc", deltas, 49)):
        at = f"roi_head.{name}_sub_module.layers."
        layout |= layer(f"{at}fc1", 512, inputs) | layer(f"{at}fc2", outputs, 512)
    return layout | (layer("roi_head.cls_sub_module.layer_norm", logits) if normalizes else {})


def pcb_state(classes):
    at = "roi_head.bbox_head.loss_cls."
    matrix = {f"{at}fg_confusion_matrix": (classes, classes)}
    return {f"{at}_epoch": (1,), **matrix, f"{at}num_inst_cnt": (classes,)}


FOUR, THREE = (256, 512, 1024, 2048), (512, 1024, 2048)


def two_stage(backbone, logits, classes, masks=True, stages=None, neck=FOUR):
    """Faster, Mask or Cascade R-CNN; the boxes of a cascade are of no class."""
    layout = prefixed("backbone.", backbone) | fpn(neck) | rpn()
    numbers = [""] if stages is None else [f"{stage}." for stage in range(stages)]
    for number in numbers:
        deltas = 4 * classes if stages is None else 4
        layout |= prefixed(f"roi_head.bbox_head.{number}", box_head(logits, deltas))
        if masks:
            layout |= prefixed(f"roi_head.mask_head.{number}", mask_head(classes))
    return layout


def one_stage(head, extra=256, depth=50):
    return prefixed("backbone.", resnet(depth)) | fpn(THREE, (extra, 256)) | head


def as_weights(layout, seed=0):
    """Random weights; those of batch norms are positive."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else 0.5 + torch.rand(shape, generator=generator)
        for name, shape in layout.items()
    }


def as_shapes(layout):
    """Weights that take no memory."""
    return {name: torch.ones(()).expand(shape) for name, shape in layout.items()}
