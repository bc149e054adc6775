import copy

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling.backbone.fpn import FPN, LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicStem
from detectron2.modeling.backbone.swin import SwinTransformer
from detectron2.solver.build import get_default_optimizer_params
from torch import nn

from rankdet.modeling.backbone import (
    FixedStatisticsBatchNorm2d,
    StochasticDepthSwin,
    XavierFPN,
)

TINY = dict(embed_dim=8, depths=[2, 3], num_heads=[1, 2], window_size=2, out_indices=(0, 1))


def norm(eps=1e-5):
    layer = FixedStatisticsBatchNorm2d.with_eps(eps)(3).double()
    for value in (layer.weight.data, layer.bias.data, layer.running_mean):
        value.normal_()
    layer.running_var.uniform_(0.5, 2)
    return layer


def slowly(layer, x):
    """By the definition, one channel at a time, with the stored statistics."""
    channels = []
    for c in range(x.shape[1]):
        deviation = (layer.running_var[c] + layer.eps) ** 0.5
        normalized = (x[:, c] - layer.running_mean[c]) / deviation
        channels.append(normalized * layer.weight[c] + layer.bias[c])
    return torch.stack(channels, dim=1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_norm_is_by_stored_statistics_in_training_as_in_evaluation(training, eps):
    layer = norm(eps).train(training)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    inputs = (x, layer.weight, layer.bias)
    expected = torch.autograd.grad((slowly(layer, x) * weights).sum(), inputs)
    torch.testing.assert_close(layer(x), slowly(layer, x))
    gradients = torch.autograd.grad((layer(x) * weights).sum(), inputs)
    torch.testing.assert_close(gradients, expected)


def test_steps_move_the_weights_and_never_the_statistics():
    layer = norm().train()
    before = copy.deepcopy(layer.state_dict())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(5 + torch.randn(4, 3, 2, 2, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
    moved = {name for name, x in layer.state_dict().items() if not torch.equal(x, before[name])}
    assert moved == {"weight", "bias"}


def test_names_of_its_weights_are_those_of_torch_and_older_files_lack_one():
    weights = nn.BatchNorm2d(3).double().state_dict()
    layer = norm()
    assert layer.state_dict().keys() == weights.keys()
    del weights["num_batches_tracked"]  # As in files before PyTorch 0.4.1.
    layer.load_state_dict(dict(weights))
    assert layer.running_var.tolist() == [1, 1, 1]


def test_frozen_stage_is_detectron2_s_frozen_norm():
    stem = BasicStem(norm=FixedStatisticsBatchNorm2d.with_eps(1e-5))
    stem.conv1.norm.running_mean.normal_()
    x = torch.randn(1, 3, 32, 32)
    before = stem(x)
    stem.freeze()
    assert type(stem.conv1.norm) is FrozenBatchNorm2d
    assert not any(weight.requires_grad for weight in stem.parameters())
    torch.testing.assert_close(stem(x), before)


@pytest.mark.parametrize("decay", [None, 0.0])
def test_optimizer_knows_it_as_a_norm(decay):
    model = nn.ModuleDict({"norm": norm(), "layer": nn.Linear(1, 1)})
    groups = get_default_optimizer_params(model, weight_decay=0.1, weight_decay_norm=decay)
    found = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    assert found[id(model["layer"].weight)] == 0.1
    assert found[id(model["norm"].weight)] == (0.1 if decay is None else decay)


def test_swin_is_detectron2_s_in_evaluation():
    model, plain = StochasticDepthSwin(**TINY), SwinTransformer(**TINY, drop_path_rate=0.0)
    plain.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 32, 40)
    found, expected = model.eval()(x), plain.eval()(x)
    assert list(expected) == ["p0", "p1"]
    for name in expected:
        assert torch.equal(found[name], expected[name])


def test_swin_drops_later_blocks_more_often():
    model = StochasticDepthSwin(**TINY, drop_path_rate=0.4).train()
    blocks = [block for layer in model.layers for block in layer.blocks]
    kept = []
    for block in blocks:
        rows = block.drop_path(torch.ones(4000, 2, 3))
        assert all(len(row.unique()) == 1 for row in rows[:50])  # An image has it, or has it not.
        kept.append((rows[:, 0, 0] != 0).float().mean().item())
        assert rows.mean().item() == pytest.approx(1, abs=0.05)
    assert kept == pytest.approx([1, 0.9, 0.8, 0.7, 0.6], abs=0.04)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_swin_names_a_rate_that_is_none(rate):
    with pytest.raises(ValueError, match=rf"drop_path_rate is {rate}; give one from 0"):
        StochasticDepthSwin(**TINY, drop_path_rate=rate)


def test_swin_asks_for_no_padding():
    assert StochasticDepthSwin(**TINY).size_divisibility == 0


def test_swin_with_checkpoints_has_the_gradients_and_names_of_one_without():
    model, plain = (StochasticDepthSwin(**TINY, checkpoints=x).train() for x in (True, False))
    plain.load_state_dict(model.state_dict())
    x, gradients, kept = torch.randn(2, 3, 33, 40), [], []
    for swin in (model, plain):
        torch.manual_seed(1)  # The same blocks are dropped, once more in the second pass.
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            loss = sum(features.square().sum() for features in swin(x).values())
        kept.append(sum(sizes))
        gradients.append(torch.autograd.grad(loss, list(swin.parameters())))
    torch.testing.assert_close(*gradients)
    assert kept[0] < 0.5 * kept[1]


def fpn(kind):
    swin = StochasticDepthSwin(**TINY)
    top_block = LastLevelP6P7(16, 64, in_feature="p1")
    return kind(bottom_up=swin, in_features=["p0", "p1"], out_channels=64, top_block=top_block)


def test_fpn_starts_from_uniform_weights_of_the_bound_of_glorot_and_bengio():
    torch.manual_seed(0)
    model = fpn(XavierFPN)
    layers = {name: layer for name, layer in model.named_children() if name.startswith("fpn_")}
    layers.update(model.top_block.named_children())
    assert sorted(layers) == "fpn_lateral2 fpn_lateral3 fpn_output2 fpn_output3 p6 p7".split()
    for layer in layers.values():
        outputs, inputs, height, width = layer.weight.shape
        bound = (6 / ((inputs + outputs) * height * width)) ** 0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.1 * bound)
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert (layer.bias == 0).all()


def test_fpn_computes_what_detectron2_s_does():
    ours, plain = fpn(XavierFPN).eval(), fpn(FPN).eval()
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 32, 64)
    found, expected = ours(x), plain(x)
    assert list(found) == list(expected) == ["p2", "p3", "p4", "p5"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)
