"""Anchors of both sides, by their widths and heights."""

import math

from detectron2.modeling.anchor_generator import DefaultAnchorGenerator


def generator(sizes, ratios, strides):
    return DefaultAnchorGenerator(sizes=sizes, aspect_ratios=ratios, strides=strides, offset=0.0)


def mmdet_anchors(ratios, scales, stride):
    """Widths and heights as mmdetection's AnchorGenerator lists them: by ratio, then by scale."""
    return [
        (stride * scale / math.sqrt(ratio), stride * scale * math.sqrt(ratio))
        for ratio in ratios
        for scale in scales
    ]


def sides(anchor_generator, level):
    cell = list(anchor_generator.cell_anchors)[level]
    return (cell[:, 2:] - cell[:, :2]).tolist()
