from collections import OrderedDict

import pytest
import torch
import torchvision
from detectron2.modeling.backbone.resnet import BasicStem, ResNet
from detectron2.modeling.backbone.swin import SwinTransformer
from torch import nn
from torchvision.models import get_model_weights

from rankdet import model_zoo
from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.imagenet_weights import backbone_weights, is_imagenet


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_every_layer_of_torchvision_s_resnet_gets_the_name_of_detectron2_s(depth):
    with torch.device("meta"):
        weights = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        options = dict(norm="BN") if depth < 50 else dict(norm="BN", stride_in_1x1=False)
        resnet = ResNet(BasicStem(norm="BN"), ResNet.make_default_stages(depth, **options))
    expected = {name: x.shape for name, x in resnet.state_dict().items()}
    found = backbone_weights(weights)
    assert {name: x.shape for name, x in found.items()} == expected


def test_swin_keeps_its_names_and_loses_its_classifier():
    options = dict(embed_dim=8, depths=[1, 1], num_heads=[1, 1], drop_path_rate=0.0)
    swin = SwinTransformer(**options, out_indices=()).state_dict()
    classifier = {name: torch.ones(1) for name in ("norm.weight", "norm.bias", "head.weight")}
    assert backbone_weights({**swin, **classifier}).keys() == swin.keys()


def test_file_of_a_swin_transformer_loads_into_a_detector(tmp_path):
    options = dict(embed_dim=8, depths=[1, 1], num_heads=[1, 1], drop_path_rate=0.0)
    options["out_indices"] = (0, 1)
    weights = SwinTransformer(**options).state_dict()
    published = {name: x for name, x in weights.items() if not name.startswith("norm")}
    classifier = {"norm.weight": torch.full((16,), 7.0), "head.weight": torch.zeros(3, 16)}
    torch.save({"model": {**published, **classifier}}, tmp_path / "swin.pth")
    swin = SwinTransformer(**options)
    norm = nn.Sequential(OrderedDict(norm=nn.LayerNorm(16)))  # Of a head: another layer.
    Checkpointer(nn.ModuleDict({"bottom_up": swin, "head": norm})).load(str(tmp_path / "swin.pth"))
    assert all(torch.equal(x, swin.state_dict()[name]) for name, x in published.items())
    assert (norm.norm.weight == 1).all()


@pytest.mark.parametrize(
    "names",
    [
        ["backbone.bottom_up.stem.conv1.weight"],
        ["conv1.weight", "fc.weight"],
        ["backbone.conv1.weight", "backbone.bn1.running_mean", "backbone.layer1.0.conv1.weight"],
        ["patch_embed.proj.weight", "layers.0.blocks.0.attn.cpb_mlp.0.weight"],  # Swin V2
    ],
)
def test_weights_of_anything_else_are_left_alone(names):
    assert backbone_weights(dict.fromkeys(names)) is None


def test_addresses_of_imagenet_weights_are_known():
    parts = model_zoo.get_config("common/imagenet.py")
    addresses = [part.init_checkpoint for part in parts.values()]
    addresses += [weights.url for weights in get_model_weights("resnet50")]
    assert len(addresses) == 9 and all(map(is_imagenet, addresses))
    assert is_imagenet("detectron2://ImageNetPretrained/MSRA/R-50.pkl")
    assert not is_imagenet("output/run/model_final.pth")
    assert not is_imagenet("detectron2://COCO-Detection/retinanet_R_50_FPN_1x/190397773/model.pkl")
