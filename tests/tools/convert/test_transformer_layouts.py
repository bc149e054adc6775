"""Every tensor of a released Co-DETR has its place, and none is left."""

import math

import pytest
import torch
from detectron2.config import instantiate
from tools.convert.co_detr_layout import co_detr
from tools.convert.layouts import original_swin, resnet
from tools.convert.test_layouts import check_complete, load, run

COUNT = "a count of batches, which a norm with fixed statistics does not need"
TRAINING = "of the training with collaborative heads, which the config's model does not have"
TINY = original_swin(norms=(1, 2, 3))
LARGE = original_swin((2, 2, 18, 2), (6, 12, 24, 48), 192, 12, norms=(1, 2, 3))
LAYOUTS = {
    "coco/co_detr_r50.py": co_detr(resnet()),
    "coco/rs_detr_r50.py": co_detr(resnet(), is_ranking=True),
    "coco/brs_detr_r50.py": co_detr(resnet(), is_ranking=True),
    "coco/co_detr_swin_t.py": co_detr(TINY, (192, 384, 768)),
    "coco/brs_detr_swin_t.py": co_detr(TINY, (192, 384, 768), is_ranking=True),
    "coco/brs_detr_swin_l.py": co_detr(LARGE, (384, 768, 1536), is_ranking=True),
    "lvis_v1/co_detr_r50.py": co_detr(resnet(), classes=1203),
}


@pytest.fixture(autouse=True)
def no_random_starts(monkeypatch):
    """Leave models as they are made: random starts take most of the time."""
    names = ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_")
    for name in (*names, "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.slow] if "swin_l" in x else []) for x in LAYOUTS]
)
def test_the_layout_of_a_release_converts_without_a_rest(name):
    conversion, result, notes = run(LAYOUTS[name], load(name))
    check_complete(conversion, result)
    assert set(result.ignored) <= {COUNT}
    assert all("counts of batches" in note for note in notes)


def test_the_base_alone_takes_what_it_has():
    conversion, result, _ = run(LAYOUTS["coco/co_detr_r50.py"], load("coco/deformable_detr_r50.py"))
    check_complete(conversion, result)
    left = result.ignored[TRAINING]
    heads = ("rpn_head.", "roi_head.", "bbox_head.", "query_head.downsample.")
    queries = ("aux_pos_trans", "pos_feats", "head_pos_embed")
    assert len(left) == 6 + 8 + 17 + 4 + 17
    assert all(x.startswith(heads) or x.split(".")[2].startswith(queries) for x in left)


def num_parameters(layout):
    buffers = ("running_mean", "running_var", "num_batches_tracked", "relative_position_index")
    return sum(math.prod(shape) for x, shape in layout.items() if not x.endswith(buffers))


def parameters_of(cfg):
    with torch.device("meta"):
        return sum(x.numel() for x in instantiate(cfg.model).parameters())


def test_the_base_has_the_published_size_with_as_many_hidden_channels():
    """Deformable DETR's README: 41 M in two stages; its feed-forward networks have 1,024."""
    cfg = load("coco/deformable_detr_r50.py")
    assert round(parameters_of(cfg) / 1e6, 1) == 47.6
    cfg.model.encoder.hidden_channels = cfg.model.decoder.hidden_channels = 1024
    contents, trained_norms, neck_biases = 300 * 256, 50_176, 4 * 256
    class_heads = 7 * 91 * 257 - (6 * 80 + 1) * 257
    theirs = parameters_of(cfg) - contents - trained_norms + neck_biases + class_heads
    assert round(theirs / 1e6) == 41 and theirs == 41_181_529


@pytest.mark.parametrize("name", ["coco/co_detr_r50.py", "coco/brs_detr_r50.py"])
def test_the_release_has_more_parameters_by_what_is_known(name):
    ours = parameters_of(load(name))
    other_classes = 79 * (256 + 1)  # of the encoder; ours has one logit
    frozen_norms = 2 * (64 + 3 * (64 + 64 + 256) + 256)  # of stem and res2: buffers here
    positions = 2 * (256 - 1)  # of the heads: vectors here
    assert num_parameters(LAYOUTS[name]) == ours + other_classes + frozen_norms - positions
