import math

import pytest
import torch

from rankdet.modeling.detr import ChannelMapper

SETTINGS = dict(
    in_features=["res3", "res5"], in_channels=[6, 10], num_channels=8, num_levels=4, num_groups=2
)


def make_neck(**settings):
    torch.manual_seed(0)
    return ChannelMapper(**{**SETTINGS, **settings})


def make_features():
    generator = torch.Generator().manual_seed(0)
    shapes = {"res3": (2, 6, 8, 10), "res4": (2, 3, 4, 5), "res5": (2, 10, 2, 5)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_maps_have_one_width_and_further_ones_half_the_size():
    maps = make_neck()(make_features())
    assert [tuple(x.shape) for x in maps] == [
        (2, 8, 8, 10),
        (2, 8, 2, 5),
        (2, 8, 1, 3),
        (2, 8, 1, 2),
    ]


def test_there_may_be_no_further_level():
    assert len(make_neck(num_levels=2)(make_features())) == 2


def test_a_map_is_projected_and_normalized_by_groups():
    neck, features = make_neck(), make_features()
    maps = neck(features)
    for conv, cells, name in zip(neck.convs, maps, SETTINGS["in_features"], strict=False):
        projected = torch.einsum("dc,bchw->bdhw", conv[0].weight[..., 0, 0], features[name])
        groups = projected.unflatten(1, (2, 4)).flatten(2)
        mean, std = groups.mean(2, keepdim=True), groups.std(2, keepdim=True, correction=0)
        expected = ((groups - mean) / std).view_as(cells)
        torch.testing.assert_close(cells, expected, rtol=1e-3, atol=1e-3)


def test_the_first_further_level_is_of_the_backbones_last_map_the_next_of_the_level_before():
    neck, features = make_neck(), make_features()
    maps = neck(features)
    torch.testing.assert_close(maps[2], neck.extra_convs[0](features["res5"]))
    torch.testing.assert_close(maps[3], neck.extra_convs[1](maps[2]))


def test_convolutions_start_by_xavier_and_have_no_bias():
    neck = make_neck(num_channels=64, in_channels=[64, 64])
    for conv, _ in [*neck.convs, *neck.extra_convs]:
        limit = math.sqrt(6 / (128 * conv.kernel_size[0] ** 2))
        assert 0.95 * limit < conv.weight.abs().max() <= limit
        assert conv.bias is None


@pytest.mark.parametrize("num_groups", [3, 0])
def test_groups_that_do_not_divide_the_channels(num_groups):
    with pytest.raises(ValueError, match=f"num_groups is {num_groups} and num_channels 8; give"):
        make_neck(num_groups=num_groups)


def test_features_that_the_backbone_does_not_give():
    with pytest.raises(ValueError, match=r"names p3, p4, but the backbone gives res3, res4, res5"):
        make_neck(in_features=["p3", "p4"])(make_features())


@pytest.mark.parametrize(("names", "channels"), [(["res3"], [6, 10]), ([], [])])
def test_as_many_names_as_numbers_of_channels(names, channels):
    with pytest.raises(ValueError, match=f"in_features has {len(names)} names and in_channels"):
        make_neck(in_features=names, in_channels=channels)


def test_fewer_levels_than_maps():
    with pytest.raises(ValueError, match="num_levels is 1, but there are 2 in_features"):
        make_neck(num_levels=1)
