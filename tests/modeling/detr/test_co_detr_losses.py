"""Losses of auxiliary queries are those of the paper, one query at a time."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from losses import dense_reference
from modeling.detr.co_detr_toy import make_co_detr, make_inputs
from modeling.detr.slow_query_loss import expected_query_losses
from support.tiny_two_stage import NUM_CLASSES

from rankdet.losses import FocalLoss, RankSortLoss
from rankdet.modeling.detr import QueryTargets

NUM_LAYERS = 2


def train_and_watch(model, name):
    """Losses, and predictions and targets of the queries of a head."""
    watched = []
    queries = model.auxiliary_queries[name]
    queries.register_forward_hook(lambda _, args, made: watched.append(made))
    with EventStorage():
        losses = model(make_inputs())
        memory = model._encode(model.preprocess_image(make_inputs()))
    ((made, targets),) = watched
    # What a query is to find is the same in every layer.
    in_all_layers = QueryTargets(*(torch.cat([x] * NUM_LAYERS) for x in targets))
    return losses, model.decoder(made, memory), in_all_layers


@pytest.mark.parametrize("make_loss", [FocalLoss, RankSortLoss])
@pytest.mark.parametrize("name", ["atss", "rcnn"])
def test_losses_and_gradients_equal_a_slow_loop(make_loss, name, monkeypatch):
    monkeypatch.setattr(dense_reference, "NUM_CLASSES", NUM_CLASSES)
    model = make_co_detr(make_loss)
    losses, predictions, targets = train_and_watch(model, name)
    is_positive = targets.labels[0] < NUM_CLASSES
    assert is_positive.any(dim=1).all() and not is_positive.all()
    wide = predictions._replace(logits=predictions.logits.double())
    expected = expected_query_losses(model.loss, wide, targets)
    found = {x: loss for x, loss in losses.items() if x.startswith(f"loss_{name}_queries_")}
    names = {x: f"loss_{name}_queries_{x.removeprefix('loss_')}" for x in expected.values}
    assert found.keys() == set(names.values())
    for x, value in expected.values.items():
        torch.testing.assert_close(found[names[x]].item(), value, rtol=1e-4, atol=1e-6)
    pairs = zip(predictions, expected[1:], strict=True)
    slow = sum((x * gradient.view_as(x)).sum() for x, gradient in pairs)
    weights = [*model.auxiliary_queries[name].parameters(), *model.encoder.parameters()]
    totals = sum(found.values()), slow
    gradients = [torch.autograd.grad(x, weights, retain_graph=True) for x in totals]
    for gradient, other in zip(*gradients, strict=True):
        assert gradient.any()
        torch.testing.assert_close(gradient, other.float(), rtol=1e-3, atol=1e-4)


def test_each_head_has_its_own_copy_of_the_loss():
    model = make_co_detr()
    losses = [model.loss, *model.auxiliary_query_losses.values()]
    assert len({id(x.loss) for x in losses}) == 3
    assert len({(x.class_weight, x.l1_weight, x.giou_weight) for x in losses}) == 1
