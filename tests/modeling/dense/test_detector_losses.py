"""Every loss trains a one-stage detector on whatever images there are."""

import pytest
import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from losses.ranking_modules import MODULES
from support.tiny_one_stage import make_fcos, make_retinanet
from support.tiny_two_stage import make_image
from torch.utils.data import DataLoader

from rankdet.engine.hooks import EpochLengthHook
from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.ecm_surrogate import ECMSurrogate
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss

LOSSES = {
    **MODULES,
    "focal": FocalLoss,
    "varifocal": VarifocalLoss,
    "quality focal": QualityFocalLoss,
    "focal ECM": lambda num_classes: FocalLoss(
        num_classes, surrogate=ECMSurrogate(range(1, num_classes + 1))
    ),
}
losses = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
DETECTORS = {"RetinaNet": make_retinanet, "FCOS": make_fcos}
detectors = pytest.mark.parametrize("make_detector", DETECTORS.values(), ids=DETECTORS)
IMAGES = [make_image([0, 1], 1), make_image([], 2), make_image([1, 1, 0], 3)]


def run(model, images=IMAGES):
    with EventStorage():
        return model(images)


def gradients(model, total):
    return torch.autograd.grad(total, list(model.parameters()))


@pytest.mark.parametrize("name", ["focal", "focal ECM"])
def test_assigners_see_the_logits_that_the_loss_teaches(name):
    model, seen = make_fcos(LOSSES[name](3)), []
    predicted, assigner = [], model.assigner
    model.assigner = lambda *args: seen.append(args[2]) or assigner(*args)
    model.head.register_forward_hook(lambda module, args, output: predicted.extend(output[0]))
    run(model)
    logits = torch.cat([level.flatten(2).transpose(1, 2) for level in predicted], dim=1)
    expected = (
        2 * logits + model.loss.surrogate.bias.to(logits.dtype) if name == "focal ECM" else logits
    )
    torch.testing.assert_close(seen[0], expected)
    assert not seen[0].requires_grad


@detectors
@losses
def test_trains_every_layer(make, make_detector):
    model = make_detector(make(3))
    values = run(model)
    assert all(x > 0 and x.isfinite() for x in values.values())
    assert all(x.isfinite().all() and x.any() for x in gradients(model, sum(values.values())))


@detectors
@losses
def test_images_without_annotations(make, make_detector):
    model = make_detector(make(3))
    values = run(model, [make_image([], 1), make_image([], 2)])
    assert values.pop("loss_cls", torch.zeros(())).isfinite()  # negatives may count
    assert all(x == 0 for x in values.values())
    values = run(model, [make_image([], 1)])
    assert all(x.isfinite().all() for x in gradients(model, sum(values.values())))


@losses
def test_many_classes(make):
    model = make_retinanet(make(1203))
    values = run(model, [make_image([1202, 7], 1)])
    assert all(x.isfinite().all() for x in gradients(model, sum(values.values())))
    model.test_score_thresh = 1e-4
    (result,) = model.eval()([make_image([], 1)])
    assert 0 < len(result["instances"]) <= 100 and result["instances"].pred_classes.max() < 1203


@pytest.mark.parametrize("make", [x for n, x in LOSSES.items() if n != "focal ECM"])
def test_one_class(make):
    model = make_retinanet(make(1))
    values = run(model, [make_image([0, 0], 1)])
    assert all(x.isfinite().all() for x in gradients(model, sum(values.values())))
    (result,) = model.eval()([make_image([], 1)])
    assert (result["instances"].pred_classes == 0).all()


@losses
def test_no_detection_above_the_threshold(make):
    model = make_fcos(make(3), test_score_thresh=1.0).eval()
    assert [len(result["instances"]) for result in model(IMAGES)] == [0, 0, 0]


@detectors
@losses
def test_autocast_computes_losses_and_boxes_in_single_precision(make, make_detector):
    model = make_detector(make(3))
    expected = run(model)
    with torch.autocast("cpu", torch.bfloat16):
        values = run(model)
        detections = model.eval()(IMAGES)
    for name, value in values.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[name].item(), rel=0.1)
    for result in detections:
        assert result["instances"].scores.dtype == torch.float32
        assert result["instances"].pred_boxes.tensor.dtype == torch.float32


def reverse_levels(model):
    """The same detector with its coarse level first."""
    model.head_in_features = model.head_in_features[::-1]
    generator = model.anchor_generator
    generator.strides = generator.strides[::-1]
    generator.cell_anchors = type(generator.cell_anchors)(list(generator.cell_anchors)[::-1])
    return model


@losses
def test_the_order_of_levels_does_not_matter(make):
    model, other = make_retinanet(make(3)), reverse_levels(make_retinanet(make(3)))
    expected = {name: x.item() for name, x in run(model).items()}
    assert {n: x.item() for n, x in run(other).items()} == pytest.approx(expected, rel=1e-5)
    for one, two in zip(model.eval()(IMAGES), other.eval()(IMAGES), strict=True):
        assert torch.equal(one["instances"].pred_classes, two["instances"].pred_classes)
        assert torch.equal(one["instances"].pred_boxes.tensor, two["instances"].pred_boxes.tensor)
        assert torch.equal(one["instances"].scores, two["instances"].scores)


def test_a_checkpoint_holds_the_balance_of_alrp():
    def make():
        return make_retinanet(ALRPLoss(3, iterations_per_epoch=2))

    model, resumed = make(), make()
    run(model), run(model), run(model)
    weight = model.loss.box_weight.item()
    assert weight != 50
    resumed.load_state_dict(model.state_dict())
    assert resumed.loss.box_weight.item() == weight
    assert {n: x.item() for n, x in run(resumed).items()} == pytest.approx(
        {n: x.item() for n, x in run(model).items()}
    )


def test_alrp_learns_the_length_of_an_epoch():
    model, hook = make_retinanet(ALRPLoss(3)), EpochLengthHook()
    loader = DataLoader(IMAGES, batch_size=2, collate_fn=list)
    trainer = SimpleTrainer(model, loader, torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.register_hooks([hook])
    hook.before_train()
    assert model.loss.iterations_per_epoch == 2
