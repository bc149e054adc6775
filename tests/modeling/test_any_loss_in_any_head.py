"""Every loss trains and detects in every head where its number of logits fits."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from modeling import iterative_toy
from support.tiny_detr import make_detr
from support.tiny_one_stage import make_retinanet, retinanet_head
from support.tiny_two_stage import (
    NUM_CLASSES,
    make_cascade,
    make_cascade_heads,
    make_detector,
    make_heads,
    make_image,
)

import rankdet.losses
from rankdet.losses import HeadLoss
from rankdet.modeling.detr import QueryLoss

COUNTS = [900, 30, 1]
LOSSES = {
    "ALRPLoss": lambda n: rankdet.losses.ALRPLoss(n),
    "APLoss": lambda n: rankdet.losses.APLoss(n),
    "ECMLoss": lambda n: rankdet.losses.ECMLoss(COUNTS[:n]),
    "EQLLoss": lambda n: rankdet.losses.EQLLoss(COUNTS[:n], num_images=1000, threshold=0.01),
    "EQLv2Loss": lambda n: rankdet.losses.EQLv2Loss(n),
    "FederatedLoss": lambda n: rankdet.losses.FederatedLoss(COUNTS[:n]),
    "FocalLoss": lambda n: rankdet.losses.FocalLoss(n),
    "LabelSmoothingLoss": lambda n: rankdet.losses.LabelSmoothingLoss(n),
    "NDCGLoss": lambda n: rankdet.losses.NDCGLoss(n),
    "OnlineLabelSmoothingLoss": lambda n: rankdet.losses.OnlineLabelSmoothingLoss(n),
    "PCBLoss": lambda n: rankdet.losses.PCBLoss(rankdet.losses.SeesawLoss(n), start_epoch=0),
    "QualityFocalLoss": lambda n: rankdet.losses.QualityFocalLoss(n),
    "RankSortLoss": lambda n: rankdet.losses.RankSortLoss(n),
    "SeesawLoss": lambda n: rankdet.losses.SeesawLoss(n),
    "SigmoidBCELoss": lambda n: rankdet.losses.SigmoidBCELoss(n),
    "SoftmaxCrossEntropyLoss": lambda n: rankdet.losses.SoftmaxCrossEntropyLoss(n),
    "VarifocalLoss": lambda n: rankdet.losses.VarifocalLoss(n),
}
losses = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)


def test_no_exported_loss_is_missing():
    exported = {name: getattr(rankdet.losses, name) for name in rankdet.losses.__all__}
    is_loss = {n for n, x in exported.items() if isinstance(x, type) and issubclass(x, HeadLoss)}
    assert is_loss == {
        *LOSSES,
        *("ClassificationLoss", "HeadLoss", "JointLoss", "RankingLoss", "SoftTargetLoss"),
    }


def train_and_detect(model):
    images = [make_image([0, 1], seed=1), make_image([2], seed=2)]
    with EventStorage():
        values = model(images)
    assert all(torch.isfinite(x) for x in values.values())
    sum(values.values()).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
    assert all(result["instances"].has("scores") for result in model.eval()(images))
    return values


@losses
@pytest.mark.parametrize(
    "make_roi_heads",
    [
        make_heads,
        *(pytest.param(x, marks=pytest.mark.slow) for x in (make_cascade, make_cascade_heads)),
    ],
)
def test_two_stages(make, make_roi_heads):
    fits_rpn = make(1).num_logits == 1
    rpn_loss = make if fits_rpn else LOSSES["SigmoidBCELoss"]
    values = train_and_detect(
        make_detector(lambda n: (rpn_loss if n == 1 else make)(n), make_roi_heads)
    )
    masks = [value for name, value in values.items() if name.startswith("loss_mask")]
    assert values["loss_rpn_loc"] > 0 and len(masks) in (1, 2) and all(x > 0 for x in masks)


@losses
def test_recurrent_heads(make):
    roi_heads = iterative_toy.make_heads(make(NUM_CLASSES))
    values = iterative_toy.run(roi_heads)
    sum(values.values()).backward()
    assert values["loss_box_reg"] > 0 and len(values) in (4, 7)
    assert all(len(image) > 0 for image in iterative_toy.run(roi_heads.eval()))


@losses
def test_one_stage(make):
    loss = make(NUM_CLASSES)
    prior_prob = 0.01
    model = make_retinanet(loss, head=retinanet_head(loss.num_logits), prior_prob=prior_prob)
    values = train_and_detect(model)
    assert values["loss_box_reg"] > 0


@losses
def test_queries(make):
    fits_selection = make(1).num_logits == 1
    selection_loss = QueryLoss((make if fits_selection else LOSSES["SigmoidBCELoss"])(1))
    model = make_detr(QueryLoss(make(NUM_CLASSES)), selection_loss=selection_loss)
    values = train_and_detect(model)
    assert values["loss_box_reg"] > 0 and values["loss_l1"] > 0
