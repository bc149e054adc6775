"""The losses of a decoder's layers are those of each layer alone."""

import pytest
import torch
from losses.dense_reference import DENSE_LOSSES
from losses.dense_reference import NUM_CLASSES as C
from losses.ranking_modules import MODULES, Batch, random_batch

from rankdet.losses import _focal_base
from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.base import JointLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.losses.sigmoid import SigmoidBCELoss

JOINT_LOSSES = {
    **{name: lambda make=make: make(C) for name, make in MODULES.items()},
    **DENSE_LOSSES,
}
joint = pytest.mark.parametrize("make", JOINT_LOSSES.values(), ids=JOINT_LOSSES)
everything = pytest.mark.parametrize(
    "make",
    [*JOINT_LOSSES.values(), lambda: SigmoidBCELoss(C)],
    ids=[*JOINT_LOSSES, "sigmoid"],
)


def make_layers(num_layers=3, num_rows=40, labels=None, **settings) -> list[Batch]:
    """Layers whose foreground is as many, but other rows of other classes."""
    layers = []
    for seed in range(num_layers):
        if labels is None:
            kinds = torch.tensor([0, 1, 2, C - 1, 0, C, -1] + [C] * (num_rows - 7))
            order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))
            own_labels = kinds[order]
        else:
            own_labels = torch.tensor(labels, dtype=torch.int64)
        layers.append(random_batch(num_classes=C, seed=seed, labels=own_labels, **settings))
    return layers


def stack(layers: list[Batch]) -> Batch:
    logits, labels, ious, box_losses = (
        torch.stack([field.detach() for field in fields]) for fields in zip(*layers, strict=True)
    )
    return Batch(logits.requires_grad_(), labels, ious, box_losses.requires_grad_())


def gradients(values, batch):
    return torch.autograd.grad(sum(x.sum() for x in values.values()), [batch[0], batch[3]])


def assert_layers_are_as_alone(loss, layers, tolerance=1e-12):
    batch = stack(layers)
    values = loss.losses_of_layers(*batch)
    found = gradients(values, batch)
    for number, layer in enumerate(layers):
        expected = loss.losses(*layer)
        assert values.keys() == expected.keys()
        for name, value in expected.items():
            assert values[name].shape == (len(layers),)
            torch.testing.assert_close(
                values[name][number], value, rtol=tolerance, atol=tolerance, equal_nan=True
            )
        own = [gradient[number] for gradient in found]
        for actual, alone in zip(own, gradients(expected, layer), strict=True):
            torch.testing.assert_close(
                actual, alone, rtol=tolerance, atol=tolerance, equal_nan=True
            )


@everything
@pytest.mark.parametrize("num_layers", [1, 3])
def test_values_and_gradients_are_those_of_each_layer(make, num_layers):
    assert_layers_are_as_alone(make().eval(), make_layers(num_layers))


@everything
@pytest.mark.parametrize("labels", [[], [C, C, -1], [-1, -1]], ids=["none", "background", "-1"])
def test_without_foreground(make, labels):
    assert_layers_are_as_alone(make().eval(), make_layers(labels=labels))


@joint
def test_each_value_of_each_layer_has_its_own_gradient(make):
    loss, layers = make().eval(), make_layers()
    batch = stack(layers)
    values = loss.losses_of_layers(*batch)
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(3, generator=generator, dtype=torch.float64) for name in values}
    found = gradients({name: weights[name] * x for name, x in values.items()}, batch)
    for number, layer in enumerate(layers):
        alone = {name: weights[name][number] * x for name, x in loss.losses(*layer).items()}
        for actual, expected in zip(found, gradients(alone, layer), strict=True):
            torch.testing.assert_close(actual[number], expected, rtol=1e-11, atol=1e-12)


@joint
@pytest.mark.parametrize("field", ["logits", "ious", "box_losses"])
def test_what_is_not_a_number_stays_in_its_layer(make, field):
    loss, layers = make().eval(), make_layers()
    broken = getattr(layers[1], field).detach().clone()
    broken[0] = torch.nan
    layers[1] = layers[1]._replace(**{field: broken})
    values = loss.losses_of_layers(*stack(layers))
    total = sum(values.values())
    assert torch.isfinite(total[[0, 2]]).all() and torch.isnan(total[1])
    for name, value in loss.losses(*layers[0]).items():
        torch.testing.assert_close(values[name][0], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", DENSE_LOSSES.values(), ids=DENSE_LOSSES)
@pytest.mark.parametrize("num_rows", [1, 7, 90])
def test_blocks_of_dense_losses_do_not_matter(make, num_rows, monkeypatch):
    """Parts of a layer, several layers, and a last block that is not full."""
    monkeypatch.setattr(_focal_base, "_CACHE_BLOCK", num_rows * C)
    assert_layers_are_as_alone(make(), make_layers())


@joint
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(make, dtype):
    loss, batch = make().eval(), stack(make_layers(dtype=torch.float32))
    half = batch._replace(logits=batch.logits.detach().to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = loss.losses_of_layers(*half)
    expected = loss.losses_of_layers(*half._replace(logits=half.logits.float()))
    for name, value in values.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("make", [RankSortLoss, JOINT_LOSSES["focal"]])
def test_bad_layers_are_named(make):
    loss: JointLoss = make(C) if make is RankSortLoss else make()
    batch = stack(make_layers())
    with pytest.raises(ValueError, match="logits must have 3 dimensions, the first of all layers"):
        loss.losses_of_layers(batch[0][0], *batch[1:])
    with pytest.raises(ValueError, match=r"ious must have 2 dimensions, .* got \(2, 5\)"):
        loss.losses_of_layers(*batch[:2], batch[2][:2], batch[3])
    labels = batch.labels.clone()
    labels[0, (labels[0] == 0).nonzero()[0]] = C
    labels[1, (labels[1] == C).nonzero()[0]] = 0
    with pytest.raises(ValueError, match=r"labels has \[4, 6, 5\] foreground rows in its layers"):
        loss.losses_of_layers(batch.logits, labels, *batch[2:])
    with pytest.raises(ValueError, match=r"ious must have shape \(15,\)"):
        loss.losses_of_layers(*batch[:2], batch[2][:, 1:], batch[3])


def test_rank_sort_balances_further_tasks_layer_by_layer():
    loss, layers = RankSortLoss(C), make_layers()
    values = loss.losses_of_layers(*stack(layers))
    task = torch.tensor([1e-2, 3.0, 5e-4], dtype=torch.float64, requires_grad=True)
    balanced = loss.balance(task, values)
    for number, layer in enumerate(layers):
        alone = loss.balance(task[number], loss.losses(*layer))
        torch.testing.assert_close(balanced[number], alone, rtol=1e-12, atol=0)
    factors = torch.autograd.grad(balanced.sum(), task)[0]
    expected = (values["loss_rank"] + values["loss_sort"]) / task.clamp(min=1e-3)
    torch.testing.assert_close(factors, expected.detach(), rtol=1e-12, atol=0)


def test_alrp_takes_the_mean_of_the_layers_for_the_terms_of_an_iteration():
    loss, layers = ALRPLoss(C), make_layers()
    loss.losses_of_layers(*stack(layers))
    terms = []
    for layer in layers:
        alone = ALRPLoss(C)
        alone.losses(*layer)
        terms.append(alone.last_terms)
    torch.testing.assert_close(loss.last_terms, torch.stack(terms).mean(0), rtol=1e-12, atol=0)
