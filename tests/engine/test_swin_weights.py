"""Random files in the layouts of Microsoft and of timm, against the model that they are of.

That timm's Swin Transformers compute the same was tried with timm 0.6.13 and 1.0.31 themselves, on
images of 448: the features of all stages were equal. At 224 those of the last stage are not, as
classifiers do not shift windows of the size of the map.
"""

import pytest
import torch
from torch import nn

from rankdet.engine.checkpoint import Checkpointer
from rankdet.modeling.backbone import StochasticDepthSwin

OPTIONS = dict(embed_dim=8, depths=[2, 2, 1], num_heads=[1, 2, 2], out_indices=(1, 2))


def swin(window_size=2):
    return StochasticDepthSwin(**OPTIONS, window_size=window_size).eval()


def randomized(model):
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    return model


def of_microsoft(model):
    """Without norms of outputs, with a classifier, and masks for one size of images."""
    weights = {k: x for k, x in model.state_dict().items() if not k.startswith("norm")}
    classifier = {"norm.weight": torch.ones(32), "norm.bias": torch.ones(32)}
    head = {"head.weight": torch.ones(5, 32), "head.bias": torch.ones(5)}
    masks = {f"layers.{i}.blocks.1.attn_mask": torch.ones(9, 4, 4) for i in (0, 1)}
    return {**weights, **classifier, **head, **masks}


def of_timm(model):
    """Merges patches at the start of a stage, saves no buffers."""
    found = {}
    for name, x in of_microsoft(model).items():
        if "attn_mask" in name or "relative_position_index" in name:
            continue
        name = name.replace("layers.1.downsample", "layers.2.downsample")
        name = name.replace("layers.0.downsample", "layers.1.downsample")
        found[name.replace("head.", "head.fc.")] = x
    return found


LAYOUTS = {
    "Microsoft": lambda model: {"model": of_microsoft(model)},
    "timm before 0.8": of_microsoft,
    "timm": of_timm,
}


def loaded(path, content, model):
    torch.save(content, path)
    # A transformer detector has other layers with such names.
    names = {"encoder": nn.ModuleDict({"layers": nn.ModuleList([nn.LayerNorm(8)])})}
    whole = nn.ModuleDict({**names, "backbone": model})
    before = {k: x.clone() for k, x in whole.state_dict().items() if "encoder" in k}
    Checkpointer(whole).load(str(path))
    assert all(torch.equal(x, whole.state_dict()[name]) for name, x in before.items())
    return model


@pytest.mark.parametrize("window_size", [2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_those_of_the_model_of_the_file(tmp_path, layout, window_size):
    theirs = randomized(swin(window_size))
    found = loaded(tmp_path / "swin.pth", LAYOUTS[layout](theirs), swin(window_size))
    x = torch.randn(2, 3, 52, 36)
    for norm in (theirs.norm1, theirs.norm2):  # Which no such file has.
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
    with torch.no_grad():
        features, expected = found(x), theirs(x)
    assert list(features) == ["p1", "p2"]
    for name in expected:
        assert torch.equal(features[name], expected[name])


def test_four_patches_are_merged_in_the_order_of_timm():
    """Column by column: timm halves rows and columns, and puts the halves of columns first."""
    merging = randomized(swin()).layers[0].downsample
    x = torch.randn(2, 6, 4, 8)
    halves = x.reshape(2, 3, 2, 2, 2, 8)
    merged = torch.stack(
        [
            torch.cat([halves[:, i, row, j, column] for column in (0, 1) for row in (0, 1)], -1)
            for i in range(3)
            for j in range(2)
        ],
        dim=1,
    )
    expected = merging.reduction(merging.norm(merged))
    torch.testing.assert_close(merging(x.flatten(1, 2), 6, 4), expected)


def test_file_of_another_window_is_named(tmp_path):
    name = "layers.0.blocks.0.attn.relative_position_bias_table"
    sentence = rf"{name} of the ImageNet weights has shape \(9, 1\), backbone.{name} of the model "
    with pytest.raises(ValueError, match=rf"{sentence}\(25, 1\); give the weights of the same ba"):
        loaded(tmp_path / "swin.pth", {"model": of_microsoft(swin(2))}, swin(3))


@pytest.mark.parametrize(
    "name",
    [
        "stages.0.blocks.0.attn.w_msa.qkv.weight",  # mmdetection
        "features.1.0.attn.qkv.weight",  # torchvision
        "swin.encoder.layers.0.blocks.0.attention.self.query.weight",  # Hugging Face
    ],
)
def test_names_of_others_are_an_error(tmp_path, name):
    with pytest.raises(ValueError, match=rf"none of the 1 weights .* is '{name}'; give another f"):
        loaded(tmp_path / "swin.pth", {name: torch.ones(3)}, swin())
