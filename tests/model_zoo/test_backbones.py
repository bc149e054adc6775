"""The backbones against torchvision's own, and which of their parts are trained."""

import pytest
import torch
import torchvision
from detectron2 import model_zoo as detectron2_zoo
from detectron2.config import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from rankdet import model_zoo
from rankdet.engine.checkpoint import Checkpointer
from rankdet.model_zoo.backbones import (
    use_detectron2_resnet,
    use_resnext,
    use_swin,
    use_torchvision_resnet,
)
from rankdet.modeling.backbone import FixedStatisticsBatchNorm2d, XavierFPN

RGB_MEAN, RGB_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def detector(name="mask_rcnn_fpn"):
    return detectron2_zoo.get_config(f"common/models/{name}.py").model


def transformer():
    """What a transformer detector has of a backbone, in the place of an FPN."""
    return DictConfig(
        {
            "backbone": None,
            "neck": {"in_features": ["res3", "res4", "res5"], "in_channels": [1, 2, 3]},
            "pixel_mean": None,
            "pixel_std": None,
        },
        flags={"allow_objects": True},
    )


def backbone(model, device="meta"):
    with torch.device(device):
        return instantiate(model.backbone)


def stages(resnet, x):
    """The outputs of the stages, by the layers of torchvision's model."""
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    for number in (1, 2, 3, 4):
        x = getattr(resnet, f"layer{number}")(x)
        yield x


def with_statistics(resnet):
    """Random weights, as no file of ImageNet is here; random statistics, which must matter."""
    for layer in resnet.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1)
            nn.init.normal_(layer.bias, std=0.1)
    return resnet.eval()


def resnext50():
    block = torchvision.models.resnet.Bottleneck
    return torchvision.models.ResNet(block, [3, 4, 6, 3], groups=32, width_per_group=4)


@pytest.mark.parametrize(
    ("reference", "recipe", "options"),
    [
        (torchvision.models.resnet50, use_torchvision_resnet, {}),
        pytest.param(
            torchvision.models.resnet101,
            use_torchvision_resnet,
            dict(depth=101),
            marks=pytest.mark.slow,
        ),
        (resnext50, use_resnext, dict(depth=50, groups=32)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_features_are_torchvision_s_with_its_file(tmp_path, reference, recipe, options, training):
    resnet = with_statistics(reference())
    torch.save(resnet.state_dict(), tmp_path / "weights.pth")
    model = detector()
    recipe(model, **options)
    found = nn.ModuleDict({"backbone": backbone(model, "cpu")})
    Checkpointer(found).load(str(tmp_path / "weights.pth"))
    x = torch.randn(1, 3, 64, 96)
    features = found["backbone"].bottom_up.train(training)(x)
    for name, expected in zip(model.backbone.in_features, stages(resnet, x), strict=True):
        torch.testing.assert_close(features[name], expected, rtol=1e-4, atol=1e-5)


def test_stem_and_first_stage_are_frozen_and_all_else_is_trained():
    model = detector()
    use_torchvision_resnet(model)
    resnet = backbone(model).bottom_up
    trained = {name.split(".")[0] for name, x in resnet.named_parameters() if x.requires_grad}
    assert trained == {"res3", "res4", "res5"}
    for name, x in resnet.named_parameters():
        assert x.requires_grad == name.startswith(("res3", "res4", "res5")), name
    kinds = {name: type(layer) for name, layer in resnet.named_modules() if name.endswith("norm")}
    for name, kind in kinds.items():
        assert (kind is FixedStatisticsBatchNorm2d) == name.startswith(("res3", "res4", "res5"))
    assert len(kinds) == 53


@pytest.mark.parametrize("recipe", [use_torchvision_resnet, use_resnext])
def test_strides_are_in_the_3_x_3_convolutions(recipe):
    model = detector()
    recipe(model, depth=50)
    resnet = backbone(model).bottom_up
    for name, stride in [("res2", 1), ("res3", 2), ("res4", 2), ("res5", 2)]:
        first, *others = getattr(resnet, name)
        assert first.conv1.stride == (1, 1) and first.conv2.stride == (stride, stride)
        assert all(block.conv2.stride == (1, 1) for block in others)


@pytest.mark.parametrize(
    ("recipe", "last", "channels"),
    [(use_torchvision_resnet, "res5", 2048), (use_resnext, "res5", 2048), (use_swin, "p3", 768)],
)
def test_extra_levels_are_made_of_what_they_were_made_of(recipe, last, channels):
    model = detector("retinanet")
    recipe(model)
    top_block = instantiate(model.backbone.top_block)
    assert (top_block.in_feature, top_block.p6.in_channels) == (last, channels)
    model = detector("fcos")
    recipe(model)
    top_block = instantiate(model.backbone.top_block)
    assert (top_block.in_feature, top_block.p6.in_channels) == ("p5", 256)


@pytest.mark.parametrize("name", ["mask_rcnn_fpn", "retinanet", "fcos"])
def test_fpn_keeps_its_levels_whatever_the_order_of_recipes(name):
    expected = backbone(detector(name)).output_shape()
    model = detector(name)
    for recipe in (use_swin, use_resnext, use_swin, use_torchvision_resnet):
        recipe(model)
        device = "cpu" if recipe is use_swin else "meta"  # Detectron2's Swin reads numbers.
        built = backbone(model, device)
        assert built.output_shape() == expected and type(built) is XavierFPN


@pytest.mark.parametrize(
    ("size", "millions"), [("tiny", 27.52), ("small", 48.84), ("base", 86.74), ("large", 195.20)]
)
def test_swin_has_its_published_size(size, millions):
    model = detector()
    use_swin(model, size)
    swin = backbone(model, "cpu").bottom_up
    assert sum(x.numel() for x in swin.parameters()) / 1e6 == pytest.approx(millions, abs=0.02)
    assert [shape.stride for shape in swin.output_shape().values()] == [4, 8, 16, 32]


@pytest.mark.parametrize(
    ("recipe", "options", "channels"),
    [
        (use_torchvision_resnet, dict(depth=101), [512, 1024, 2048]),
        (use_resnext, dict(depth=50), [512, 1024, 2048]),
        (use_swin, dict(size="tiny"), [192, 384, 768]),
        (use_swin, dict(size="large"), [384, 768, 1536]),
    ],
)
def test_a_neck_takes_the_stages_that_it_took(recipe, options, channels):
    model = transformer()
    use_torchvision_resnet(model)
    recipe(model, **options)
    built = backbone(model, "cpu" if recipe is use_swin else "meta")
    shapes = built.output_shape()
    assert list(model.neck.in_features) == list(shapes)
    assert list(model.neck.in_channels) == [shape.channels for shape in shapes.values()] == channels
    assert [shape.stride for shape in shapes.values()] == [8, 16, 32]
    assert built.size_divisibility == 0
    assert (list(model.pixel_mean), list(model.pixel_std)) == (RGB_MEAN, RGB_STD)


def test_a_neck_on_detectron2_s_resnet():
    experiment = model_zoo.get_config("coco/mask_rcnn_r50_fpn_1x.py")
    model = transformer()
    use_detectron2_resnet(model, experiment.dataloader, experiment.train)
    assert model.pixel_std == [1.0, 1.0, 1.0] and model.backbone.stages.stride_in_1x1
    assert list(backbone(model).output_shape()) == ["res3", "res4", "res5"]


def test_the_large_swin_is_that_of_its_file_for_images_of_384():
    model = transformer()
    use_swin(model, "large")
    assert model.backbone.window_size == 12 and model.backbone.drop_path_rate == 0.3
    swin = backbone(model, "cpu")
    assert swin.layers[0].blocks[0].attn.relative_position_bias_table.shape == (23**2, 6)


@pytest.mark.parametrize("recipe", [use_torchvision_resnet, use_resnext, use_swin])
@pytest.mark.parametrize("name", ["mask_rcnn_fpn", "fcos"])
def test_pixels_are_rgb_divided_by_their_deviation(recipe, name):
    model = detector(name)
    recipe(model)
    assert (list(model.pixel_mean), list(model.pixel_std)) == (RGB_MEAN, RGB_STD)
    assert model.get("input_format") == ("RGB" if name == "mask_rcnn_fpn" else None)


@pytest.mark.parametrize("depth", [50, 101])
def test_back_to_detectron2_s_resnet(depth):
    experiment = model_zoo.get_config("coco/mask_rcnn_r50_fpn_1x.py")
    use_detectron2_resnet(experiment.model, experiment.dataloader, experiment.train, depth)
    expected = detector()
    expected.backbone.bottom_up.freeze_at = 2
    expected.backbone.bottom_up.stages.depth = depth
    expected.backbone.in_features = ["res2", "res3", "res4", "res5"]
    for key in ("backbone", "pixel_mean", "pixel_std", "input_format"):
        assert (
            OmegaConf.to_container(expected)[key] == OmegaConf.to_container(experiment.model)[key]
        )
    loaders = experiment.dataloader
    assert loaders.train.mapper.image_format == loaders.test.mapper.image_format == "BGR"
    assert experiment.train.init_checkpoint.endswith(f"MSRA/R-{depth}.pkl")


@pytest.mark.parametrize(
    ("recipe", "option", "choices"),
    [
        (use_torchvision_resnet, dict(depth=18), "depth is 18; give one of 50, 101, 152"),
        (use_resnext, dict(depth=34), "depth is 34; give one of 50, 101, 152"),
        (use_swin, dict(size="huge"), "size is 'huge'; give one of tiny, small, base, large"),
    ],
)
def test_unknown_sizes_are_named(recipe, option, choices):
    with pytest.raises(ValueError, match=choices):
        recipe(detector(), **option)


@pytest.mark.parametrize("recipe", [use_torchvision_resnet, use_resnext, use_swin])
@pytest.mark.parametrize(
    ("name", "names"),
    [("mask_rcnn_c4", None), ("mask_rcnn_vitdet", None), ("mask_rcnn_fpn", ["s1", "s2"])],
)
def test_backbones_without_an_fpn_on_known_stages_are_named(recipe, name, names):
    model = detector(name)
    if names:
        model.backbone.in_features = names
    with pytest.raises(ValueError, match=r"in_features is .*, but these recipes take a detector w"):
        recipe(model)
    model = transformer()
    model.neck.in_features = names
    with pytest.raises(ValueError, match=r"model.neck.in_features is .*, but these recipes take a"):
        recipe(model)
