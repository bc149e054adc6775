"""The whole command, on the smallest config."""

import pytest
import torch
from tools.convert.layouts import (
    as_weights,
    box_head,
    fpn,
    layer,
    mask_head,
    prefixed,
    rpn,
    smoke_resnet,
)

from rankdet.cli import main as rankdet
from rankdet.engine.build import build
from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config

CONFIG = "glyphs/mask_rcnn_smoke.py"
MEAN = "model.pixel_mean=[123.675,116.28,103.53]"
CLASSES = 10


def smoke_layout(logits=CLASSES + 1, deltas=4):
    return {
        **prefixed("backbone.", smoke_resnet()),
        **fpn((32, 64, 128), outputs=64),
        **rpn(anchors=1, channels=64),
        **prefixed("roi_head.bbox_head.", box_head(logits, deltas, 64 * 25, 256)),
        **prefixed("roi_head.mask_head.", mask_head(CLASSES, 64, 32, number=2)),
    }


WEIGHTS = as_weights(smoke_layout())


@pytest.fixture(autouse=True)
def _typed(monkeypatch):
    """The front door notes in ``sys.argv`` how it was called; other tests shall not see it."""
    monkeypatch.setattr("sys.argv", ["/env/bin/rankdet"])


def save(path, weights=None):
    torch.save({"state_dict": WEIGHTS if weights is None else weights}, path)
    return str(path)


def run(tmp_path, capsys, weights=None, options=(MEAN,)):
    output = tmp_path / "folder" / "converted.pth"
    file = save(tmp_path / "source.pth", weights)
    rankdet(["convert", file, "--to", CONFIG, "--output", str(output), *options])
    return output, capsys.readouterr().out


def error_of(tmp_path, weights, options=(MEAN,)):
    output = tmp_path / "converted.pth"
    file = save(tmp_path / "source.pth", weights)
    with pytest.raises(SystemExit) as caught:
        rankdet(["convert", file, "--to", CONFIG, "--output", str(output), *options])
    assert not output.exists()
    assert str(caught.value).startswith("error: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_result_loads_strictly_and_says_where_it_is_from(tmp_path, capsys):
    output, text = run(tmp_path, capsys)
    model = build(load_config(CONFIG, [MEAN]), "model")
    rest = Checkpointer(model).load_strictly(str(output))
    weight = WEIGHTS["roi_head.bbox_head.fc_cls.weight"]
    assert torch.equal(model.roi_heads.box_predictor.cls_score.weight, weight)
    origin = rest["converted_from"]
    assert origin["file"] == "source.pth" and origin["config"] == CONFIG
    assert origin["overrides"] == [MEAN] and len(origin["sha256"]) == 64
    assert f"Used {len(WEIGHTS)} of the checkpoint's {len(WEIGHTS)} weights." in text
    assert "Changed: pixel deviations moved into it (1): backbone.bottom_up.stem" in text
    assert "Assumed: pixels enter as RGB" in text
    assert f"Wrote {output}." in text


def test_a_backbone_alone(tmp_path, capsys):
    output, text = run(tmp_path, capsys, as_weights(smoke_resnet()))
    names = torch.load(output, weights_only=True)["model"]
    assert names and all(name.startswith("backbone.bottom_up.") for name in names)
    assert "Not from the checkpoint: not in the file: no part of the backbone" in text


def test_another_pixel_mean_is_one_sentence_with_the_remedy(tmp_path):
    assert "add model.pixel_mean='[123.675,116.28,103.53]'" in error_of(tmp_path, WEIGHTS, ())


FC_CLS = "roi_head.bbox_head.fc_cls"
FC_REG = "roi_head.bbox_head.fc_reg"
BROKEN = {
    "missing": (
        {FC_CLS: None},
        "has nothing for 2 of the 88 weights of the config's model, the first is "
        "roi_heads.box_predictor.cls_score.weight (11, 256)",
    ),
    "extra": (
        {"roi_head.bbox_head.fc_new": (2, 3)},
        "2 of 90 weights of the checkpoint are not known, the first is "
        "'roi_head.bbox_head.fc_new.weight' (2, 3)",
    ),
    "classes": (
        {FC_CLS: (81, 256)},
        f"{FC_CLS}.weight of the checkpoint has shape (81, 256), but "
        "roi_heads.box_predictor.cls_score.weight of the config's model (11, 256); give the config "
        "as many classes (model.roi_heads.num_classes)",
    ),
    "class-specific": (
        {FC_REG: (40, 256)},
        f"{FC_REG}.weight of the checkpoint has shape (40, 256), but "
        "roi_heads.box_predictor.bbox_pred.weight of the config's model (4, 256); give the config "
        "as many classes, and cls_agnostic_bbox_reg=True where the checkpoint has 4 rows",
    ),
    "gray": (
        {"backbone.conv1": (32, 1, 7, 7)},
        "backbone.conv1.weight of the checkpoint has shape (32, 1, 7, 7), but "
        "backbone.bottom_up.stem.conv1.weight of the config's model (32, 3, 7, 7)",
    ),
    "cascade": (
        {"roi_head.mask_head.1.upsample": (32, 32, 2, 2)},
        "the config's model has no roi_heads.mask_head.1.deconv.weight; give the config as many "
        "classes and mask heads: a cascade of mmdetection has one for each stage",
    ),
    "level": (
        {"neck.fpn_convs.3.conv": (64, 64, 3, 3)},
        "the checkpoint has neck.fpn_convs.3.conv.weight (64, 64, 3, 3), but the config's model "
        "has no backbone.top_block.p6.weight; give a config with the same FPN levels",
    ),
    "deeper": (
        {"backbone.layer1.1.conv1": (32, 32, 3, 3)},
        "has no backbone.bottom_up.res2.1.conv1.weight; give a config with the same backbone",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_checkpoint_that_does_not_fit_is_one_sentence(tmp_path, name):
    changes, message = BROKEN[name]
    weights = dict(WEIGHTS)
    for key, shape in changes.items():
        if shape is None:
            weights = {k: v for k, v in weights.items() if not k.startswith(f"{key}.")}
        else:
            weights |= as_weights(layer(key, *shape, bias="backbone" not in key))
    assert message in error_of(tmp_path, weights)


def test_two_names_of_one_weight_are_one_sentence(tmp_path):
    twice = {**WEIGHTS, "bbox_head.fc_cls.weight": WEIGHTS[f"{FC_CLS}.weight"]}
    assert "are both roi_heads.box_predictor.cls_score.weight" in error_of(tmp_path, twice)


def test_the_checkpoint_is_not_overwritten(tmp_path):
    file = save(tmp_path / "source.pth")
    before = (tmp_path / "source.pth").read_bytes()
    with pytest.raises(SystemExit, match="is the checkpoint itself; give another file"):
        rankdet(["convert", file, "--to", CONFIG, "--output", file, MEAN])
    assert (tmp_path / "source.pth").read_bytes() == before


def test_a_source_config_decides(tmp_path, capsys):
    config = tmp_path / "config.py"
    config.write_text(
        "model = dict(data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0]))"
    )
    output, text = run(tmp_path, capsys, options=(MEAN, f"--source-config={config}"))
    found = torch.load(output, weights_only=True)["model"]["backbone.bottom_up.stem.conv1.weight"]
    assert torch.equal(found, WEIGHTS["backbone.conv1.weight"].flip(1))
    assert "BGR turned into RGB (1)" in text and "Assumed: pixels" not in text
