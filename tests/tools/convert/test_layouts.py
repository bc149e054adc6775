"""The layouts of the published configs convert without a rest."""

import re
from pathlib import Path

import pytest
import torch
from tools.convert.layouts import (
    as_shapes,
    dense_head,
    layer,
    one_stage,
    original_swin,
    pcb_layers,
    pcb_state,
    resnet,
    swin,
    two_stage,
    varifocal_head,
)

from rankdet.engine.config import load_config
from rankdet.model_zoo.backbones import use_resnext, use_swin
from rankdet.tools.convert.__main__ import convert_all
from rankdet.tools.convert.completion import complete
from rankdet.tools.convert.loss_state import class_counts
from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import Settings
from rankdet.tools.convert.source import Source
from rankdet.tools.convert.target import build_target

LOSS = "roi_head.bbox_head.loss_cls."
C = 1203
SEESAW = "lvis_v1/mask_rcnn_r101_fpn_2x_seesaw_pcb.py"
COUNT = "a count of batches, which a norm with fixed statistics does not need"


def ecm_state(stage=""):
    at = f"roi_head.bbox_head.{stage}loss_cls."
    return {f"{at}sample_n": (C + 1,), f"{at}detection_cls_weight": (1, C + 1)}


def pcb(logits, classes, depth=50, normalizes=False, **state):
    layout = two_stage(resnet(depth), logits, classes)
    return {**layout, **pcb_layers(logits, 4 * classes, normalizes), **pcb_state(classes), **state}


LAYOUTS = {
    "coco/faster_rcnn_r50_fpn_1x_rs.py": two_stage(resnet(), 80, 80, masks=False),
    "coco/mask_rcnn_r50_fpn_1x.py": two_stage(resnet(), 81, 80),
    "coco/mask_rcnn_r50_fpn_1x_brs.py": two_stage(resnet(), 80, 80),
    "coco/cascade_rcnn_r50_fpn_1x_rs.py": two_stage(resnet(), 80, 80, masks=False, stages=3),
    "coco/faster_rcnn_r50_fpn_100ep_alrp.py": two_stage(resnet(), 80, 80, masks=False),
    "cityscapes/mask_rcnn_r50_fpn_brs.py": two_stage(resnet(), 8, 8),
    "coco/retinanet_r50_fpn_100ep_ap.py": one_stage(
        dense_head("retina", 80, anchors=6, third=False, scales=0), extra=2048
    ),
    "coco/retinanet_r50_fpn_100ep_alrp.py": one_stage(
        dense_head("retina", 80, anchors=6, third=False, scales=0), extra=2048
    ),
    "coco/atss_r50_fpn_100ep_alrp.py": one_stage(
        dense_head("retina", 80, anchors=2, third=False, scales=0), extra=2048
    ),
    "coco/atss_r50_fpn_1x.py": one_stage(dense_head("atss", 80)),
    "coco/atss_r50_fpn_1x_brs.py": one_stage(dense_head("atss", 80, anchors=3, third=False)),
    "coco/paa_r50_fpn_1x.py": one_stage(dense_head("atss", 80)),
    "coco/paa_r50_fpn_1x_rs.py": one_stage(dense_head("atss", 80, anchors=3, third=False)),
    "lvis_v1/fcos_r50_fpn_1x.py": one_stage(dense_head("conv", C, conv_bias=True)),
    "lvis_v1/varifocalnet_r50_fpn_1x.py": one_stage(varifocal_head(C)),
    "lvis_v1/mask_rcnn_r50_fpn_2x.py": two_stage(resnet(), C + 1, C),
    "lvis_v1/mask_rcnn_r50_fpn_1x_ecm.py": {**two_stage(resnet(), C + 1, C), **ecm_state()},
    "lvis_v1/cascade_mask_rcnn_r101_fpn_2x_ecm.py": {
        **two_stage(resnet(101), C + 1, C, stages=3),
        **{k: v for stage in range(3) for k, v in ecm_state(f"{stage}.").items()},
    },
    "lvis_v0_5/mask_rcnn_r50_fpn_2x_seesaw.py": {
        **two_stage(resnet(), 1232, 1230),
        f"{LOSS}cum_samples": (1231,),
    },
    "lvis_v0_5/mask_rcnn_r50_fpn_2x_pcb.py": pcb(1231, 1230),
    "lvis_v1/mask_rcnn_r50_fpn_2x_eqlv2_pcb.py": pcb(C + 1, C, normalizes=True),
    SEESAW: pcb(C + 2, C, depth=101, **{f"{LOSS}cum_samples": (C + 1,)}),
}


@pytest.fixture(autouse=True)
def no_random_starts(monkeypatch):
    """Leave models as they are made: random starts take most of the time."""
    for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


def load(name, change=None):
    cfg = load_config(name)
    if change is not None:
        change(cfg.model)
    return cfg


def run(layout, cfg):
    source = Source(Path("x.pth"), "", as_shapes(layout), Settings({}), [], "", [])
    target = build_target(cfg, class_counts(source))
    conversion = Conversion(source, target)
    result = convert_all(conversion)
    return conversion, result, complete(conversion, result)


def check_complete(conversion, result):
    used = {name for one in result.used.values() for name in one.source_names}
    ignored = {name for names in result.ignored.values() for name in names}
    assert used | ignored == set(conversion.source.weights)
    assert not used & ignored
    assert {k: v.shape for k, v in result.weights.items()} == {
        k: v.shape for k, v in conversion.target.weights.items()
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_of_a_published_config_converts_without_a_rest(name):
    conversion, result, notes = run(LAYOUTS[name], load(name))
    check_complete(conversion, result)
    assert all("what the loss learns" in note or "counts of batches" in note for note in notes)


@pytest.mark.parametrize(("groups", "width"), [(64, 4), (32, 8)])
def test_a_resnext_converts_without_a_rest(groups, width):
    cfg = load(
        "coco/mask_rcnn_r50_fpn_1x_rs.py",
        lambda model: use_resnext(model, 101, groups=groups, width_per_group=width),
    )
    conversion, result, _ = run(two_stage(resnet(101, groups, width), 80, 80), cfg)
    check_complete(conversion, result)


def test_a_swin_transformer_converts_without_a_rest():
    cfg = load("coco/mask_rcnn_r50_fpn_1x_rs.py", lambda model: use_swin(model, "tiny"))
    layout = two_stage(swin(), 80, 80, neck=(96, 192, 384, 768))
    conversion, result, _ = run(layout, cfg)
    check_complete(conversion, result)


def test_a_torchvision_resnet_fills_the_backbone_alone():
    layout = {**resnet(101), "fc.weight": (1000, 2048), "fc.bias": (1000,)}
    conversion, result, notes = run(layout, load("lvis_v1/mask_rcnn_r101_fpn_2x.py"))
    body = "backbone.bottom_up."
    expected = {name for name in conversion.target.weights if name.startswith(body)}
    assert set(result.weights) == expected
    assert result.ignored["the classifier of ImageNet"] == ["fc.weight", "fc.bias"]
    left = notes["not in the file: no part of the backbone"]
    assert len(left) + len(expected) == len(conversion.target.weights)


@pytest.mark.parametrize("is_timm", [False, True])
def test_a_swin_of_its_authors_or_timm_fills_the_backbone_alone(is_timm):
    """It has no norms of outputs; timm counts merging layers to the next stage, saves no tables."""
    layout = original_swin() | layer("norm", 768) | layer("head", 1000, 768)
    layout["layers.0.blocks.1.attn_mask"] = (64, 49, 49)
    if is_timm:
        tables = ("relative_position_index", "attn_mask")
        layout = {
            re.sub(r"(?<=layers\.)\d(?=\.downsample)", lambda n: str(int(n[0]) + 1), name): shape
            for name, shape in layout.items()
            if not name.endswith(tables)
        }
    conversion, result, notes = run(layout, load("coco/co_detr_swin_t.py"))
    assert conversion.source.is_backbone
    for stage, channels in enumerate((96, 192, 384)):
        name = f"backbone.layers.{stage}.downsample.reduction.weight"
        assert result.used[name].source_names == [
            f"layers.{stage + is_timm}.downsample.reduction.weight"
        ]
        assert result.weights[name].shape == (2 * channels, 4 * channels)
    norms = [names for note, names in notes.items() if "norms of a Swin's outputs" in note]
    assert len(norms[0]) == 3 * 2
    left = notes["not in the file: no part of the backbone"]
    assert set(result.weights) | set(left) == set(conversion.target.weights)


def test_heads_of_detectron2_get_what_changes_nothing():
    """Its FCOS has biases in front of norms, mmdetection's first FCOS has none."""
    layout = one_stage(dense_head("conv", C))
    _, result, notes = run(layout, load("lvis_v1/fcos_r50_fpn_1x.py"))
    (sentence,) = [note for note in notes if "changes nothing" in note]
    assert len(notes[sentence]) == 8
    assert not any(result.weights[name].any() for name in notes[sentence])
