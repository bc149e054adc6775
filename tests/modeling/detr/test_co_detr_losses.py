"""Losses of auxiliary queries are those of the paper, one query at a time."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from losses.dense_reference import expected_losses as expected_focal
from losses.ranking_modules import Batch
from losses.ranking_modules import expected_losses as expected_ranking
from modeling.detr.co_detr_toy import NUM_LAYERS, make_co_detr, make_inputs
from modeling.slow_heads import giou_loss
from support.tiny_two_stage import NUM_CLASSES
from torchvision.ops import box_convert, box_iou

from rankdet.losses import FocalLoss, RankSortLoss
from rankdet.modeling.detr.query_loss import QueryLoss

RANKING_WEIGHTS = dict(class_weight=2.0, l1_weight=2.0, giou_weight=2.0)


def train_and_watch(model, name):
    """Losses, and the decoder's inputs and the targets of the queries of a head."""
    watched = []
    queries = model.auxiliary_queries[name]
    queries.register_forward_hook(lambda _, args, made: watched.append(made))
    with EventStorage():
        losses = model(make_inputs())
        memory = model._encode(model.preprocess_image(make_inputs()))
    ((made, targets),) = watched
    return losses, model.decoder(made, memory), targets


def layer_batch(predictions, targets, layer):
    """The queries of one layer as a loss sees them, and the L1 distances of the positives."""
    logits, labels, ious, box_losses, distances = [], [], [], [], []
    for image in range(predictions.logits.shape[1]):
        for query in range(predictions.logits.shape[2]):
            label = int(targets.labels[0, image, query])
            logits.append(predictions.logits[layer, image, query])
            labels.append(label)
            if 0 <= label < NUM_CLASSES:
                box = predictions.boxes[layer, image, query]
                gt_box = targets.gt_boxes[0, image, query].to(box.dtype)
                distances.append((box - gt_box).abs().sum())
                corners = [box_convert(x, "cxcywh", "xyxy") for x in (box, gt_box)]
                box_losses.append(giou_loss(*corners))
                ious.append(box_iou(*(x[None].detach() for x in corners))[0, 0])
    stacked = (torch.stack(x) for x in (ious, box_losses))
    batch = Batch(torch.stack(logits), torch.tensor(labels), *stacked)
    return batch, torch.stack(distances).mean()


def assert_losses(losses, name, expected):
    names = {f"loss_{name}_queries_{x}": value for x, value in expected.items()}
    found = {x: loss for x, loss in losses.items() if "_queries_" in x and name in x}
    assert found.keys() == names.keys()
    for x, value in names.items():
        torch.testing.assert_close(found[x].double(), torch.as_tensor(value).double(), msg=x)


@pytest.mark.parametrize("name", ["atss", "rcnn"])
def test_focal(name):
    model = make_co_detr().double()
    losses, predictions, targets = train_and_watch(model, name)
    expected = dict.fromkeys(("cls", "box_reg", "l1"), 0.0)
    for layer in range(NUM_LAYERS):
        batch, distance = layer_batch(predictions, targets, layer)
        assert 0 < len(batch.ious) < len(batch.labels)
        of_layer = expected_focal(FocalLoss(NUM_CLASSES), batch)
        expected["cls"] += 2 * of_layer["loss_cls"]
        expected["box_reg"] += 2 * of_layer["loss_box_reg"]
        expected["l1"] += 5 * distance
    assert_losses(losses, name, expected)


@pytest.mark.parametrize("name", ["atss", "rcnn"])
def test_rank_and_sort(name):
    loss = RankSortLoss(NUM_CLASSES)
    model = make_co_detr(RankSortLoss, loss=QueryLoss(loss, **RANKING_WEIGHTS)).double()
    losses, predictions, targets = train_and_watch(model, name)
    expected = dict.fromkeys(("rank", "sort", "box_reg", "l1"), 0.0)
    for layer in range(NUM_LAYERS):
        batch, _ = layer_batch(predictions, targets, layer)
        values = expected_ranking(loss, batch).values
        expected["rank"] += 2 * values["loss_rank"]
        expected["sort"] += 2 * values["loss_sort"]
    # Both box losses are balanced to the value of ranking + sorting.
    expected["box_reg"] = expected["l1"] = expected["rank"] + expected["sort"]
    assert_losses(losses, name, expected)


def test_each_head_has_its_own_copy_of_the_loss():
    model = make_co_detr()
    losses = [model.loss, *model.auxiliary_query_losses.values()]
    assert len({id(x.loss) for x in losses}) == 3
    assert len({(x.class_weight, x.l1_weight, x.giou_weight) for x in losses}) == 1
