"""A small Co-DETR of the shipped config, and weights and settings of the release for it."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import torch
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from tools.convert.co_detr_layout import co_detr
from tools.convert.layouts import smoke_resnet

from rankdet.engine.config import load_config
from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import Settings, parse_settings
from rankdet.tools.convert.source import Source
from rankdet.tools.convert.target import build_target

CHANNELS, CLASSES, QUERIES, HIDDEN, WIDTH = 32, 3, 5, 24, 16
LEVELS, HEADS, POINTS, LAYERS = 4, 4, 2, 2
INPUTS = (64, 128)


@cache
def _loaded(name):
    return load_config(name)


def tiny_config(name="coco/co_detr_r50.py"):
    cfg = deepcopy(_loaded(name))
    model = cfg.model
    model.backbone = L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=32, norm="FrozenBN"),
        stages=[
            L(ResNet.make_stage)(
                block_class=BasicBlock,
                num_blocks=1,
                stride_per_block=[stride],
                in_channels=inputs,
                out_channels=outputs,
                norm="FrozenBN",
            )
            for stride, inputs, outputs in [(1, 32, 32), (2, 32, 64), (2, 64, 128)]
        ],
        out_features=["res3", "res4"],
    )
    attention = dict(num_heads=HEADS, num_levels=LEVELS, num_points=POINTS)
    model.neck.update(
        in_features=["res3", "res4"],
        in_channels=list(INPUTS),
        num_channels=CHANNELS,
        num_levels=LEVELS,
    )
    model.encoder.positions.num_channels = CHANNELS
    for part in (model.encoder, model.decoder):
        part.update(num_channels=CHANNELS, hidden_channels=HIDDEN, num_layers=LAYERS, **attention)
    model.query_selection.update(num_channels=CHANNELS, num_queries=QUERIES)
    model.num_classes = CLASSES
    if "heads" in model:
        _shrink_heads(model.heads)
    return cfg


def _shrink_heads(heads):
    shape = ShapeSpec(channels=CHANNELS)
    heads.atss.detector.head.update(input_shape=[shape] * 5, conv_dims=[CHANNELS])
    heads.rcnn.proposal_generator.head.in_channels = CHANNELS
    pooled = ShapeSpec(channels=CHANNELS, height=7, width=7)
    heads.rcnn.roi_heads.box_head.update(input_shape=pooled, fc_dims=[WIDTH, WIDTH])
    heads.rcnn.roi_heads.box_predictor.input_shape = ShapeSpec(channels=WIDTH)


def tiny_weights(seed=0, **options):
    """Random weights of the release; those of norms are positive."""
    layout = co_detr(
        smoke_resnet(),
        INPUTS,
        classes=CLASSES,
        queries=QUERIES,
        number=LAYERS,
        channels=CHANNELS,
        levels=LEVELS,
        hidden=HIDDEN,
        heads=HEADS,
        points=POINTS,
        width=WIDTH,
        **options,
    )
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in layout.items():
        is_norm = "norm" in name or "bn" in name or ".gn." in name or "downsample.1" in name
        weights[name] = 0.3 * torch.randn(shape, generator=generator)
        if is_norm:
            weights[name] = weights[name].abs() + 0.5
    return weights


def settings(**changes):
    """What the release's config says, where a size differs from it as the tiny one does."""
    numbers = dict(heads=HEADS, own_heads=HEADS, temperature="", offset=-0.5, groups=32)
    numbers |= dict(rpn_offset="", stds=[0.1, 0.1, 0.2, 0.2]) | changes
    return _TEXT.format(**numbers)


_TEXT = """
model = dict(
    type='CoDETR',
    neck=dict(type='ChannelMapper', norm_cfg=dict(type='GN', num_groups={groups})),
    rpn_head=dict(
        type='RPNHead',
        anchor_generator=dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0], strides=[8, 16, 32, 64, 128]{rpn_offset}),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[.0, .0, .0, .0],
            target_stds=[1.0, 1.0, 1.0, 1.0])),
    query_head=dict(
        type='CoDeformDETRHead',
        transformer=dict(
            encoder=dict(transformerlayers=dict(attn_cfgs=dict(
                type='MultiScaleDeformableAttention', num_heads={heads}))),
            decoder=dict(transformerlayers=dict(attn_cfgs=[
                dict(type='MultiheadAttention', num_heads={own_heads}),
                dict(type='MultiScaleDeformableAttention', num_heads={heads})]))),
        positional_encoding=dict(type='SinePositionalEncoding', normalize=True,
            offset={offset}{temperature})),
    roi_head=[dict(
        type='CoStandardRoIHead',
        bbox_head=dict(type='Shared2FCBBoxHead', bbox_coder=dict(type='DeltaXYWHBBoxCoder',
            target_means=[0., 0., 0., 0.], target_stds={stds}),
            loss_cls=dict(type='CrossEntropyLoss')))],
    bbox_head=[dict(
        type='CoATSSHead',
        anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8,
            scales_per_octave=1, strides=[8, 16, 32, 64, 128]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[.0, .0, .0, .0],
            target_stds=[0.1, 0.1, 0.2, 0.2]))])
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
"""


def tiny_conversion(weights, text="", name="coco/co_detr_r50.py"):
    found = parse_settings(text) if text else Settings({})
    source = Source(Path("x.pth"), "", dict(weights), found, [], "", [])
    return Conversion(source, build_target(tiny_config(name), None))
