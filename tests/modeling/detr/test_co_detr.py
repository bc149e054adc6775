"""Collaborative heads help to train and change nothing else."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from losses.ranking_modules import MODULES
from modeling.detr.co_detr_toy import CLASSES, make_co_detr, make_heads, make_inputs, make_plain
from modeling.detr.collaborative_toy import STRIDES, make_atss
from support.tiny_detr import WIDTH

from rankdet.losses import FocalLoss, RankSortLoss

LOSSES = {"focal": FocalLoss, **MODULES}
OF_QUERIES = {"loss_cls", "loss_box_reg", "loss_l1"}
OF_ENCODER = {"loss_encoder_cls", "loss_encoder_box_reg", "loss_encoder_l1"}


def train(model, classes=CLASSES):
    with EventStorage():
        return model(make_inputs(classes))


def results(model, inputs):
    with torch.no_grad():
        return [output["instances"].get_fields() for output in model.eval()(inputs)]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert len(one["scores"]) > 0
        assert torch.equal(one["pred_boxes"].tensor, other["pred_boxes"].tensor)
        assert torch.equal(one["scores"], other["scores"])
        assert torch.equal(one["pred_classes"], other["pred_classes"])


def without_objects(inputs):
    return [{"image": image["image"]} for image in inputs]


def test_losses_have_the_name_of_their_head():
    losses = train(make_co_detr())
    terms = ("cls", "box_reg", "l1")
    queries = {f"loss_{name}_queries_{x}" for name in ("atss", "rcnn") for x in terms}
    atss = {"loss_atss_cls", "loss_atss_box_reg", "loss_atss_quality"}
    rcnn = {f"loss_rcnn_{x}" for x in ("rpn_cls", "rpn_loc", "cls", "box_reg")}
    assert losses.keys() == OF_QUERIES | OF_ENCODER | queries | atss | rcnn
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())


def test_matched_queries_are_those_of_deformable_detr():
    model, plain = make_co_detr(), make_plain()
    missing, extra = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing and extra
    losses, expected = train(model), train(plain)
    assert expected.keys() == OF_QUERIES | OF_ENCODER
    for name, loss in expected.items():
        assert torch.equal(losses[name], loss), name
    own = [loss for name, loss in losses.items() if name in expected]
    weights = dict(model.named_parameters())
    gradients = torch.autograd.grad(sum(own), [weights[x] for x, _ in plain.named_parameters()])
    slow = torch.autograd.grad(sum(expected.values()), list(plain.parameters()))
    assert all(map(torch.equal, gradients, slow))
    inputs = make_inputs()
    assert_same(results(model, inputs), results(plain, inputs))


@pytest.mark.parametrize("eval_head", [None, "atss", "rcnn"])
def test_ground_truth_does_not_leak_into_detections(eval_head):
    model, inputs = make_co_detr(eval_head=eval_head), make_inputs()
    model.heads["atss"].detector.test_score_thresh = 0.0
    found = results(model, inputs)
    assert_same(found, results(model, without_objects(inputs)))
    other = results(model, make_inputs([[2], [0, 0]]))
    assert_same(found, other)


@pytest.mark.parametrize("name", ["atss", "rcnn"])
def test_eval_head_detects_in_the_place_of_the_decoder(name):
    model, inputs = make_co_detr(), make_inputs()
    model.heads["atss"].detector.test_score_thresh = 0.0
    calls = []
    model.heads[name].register_forward_pre_hook(lambda *_: calls.append("trains"))
    of_decoder = results(model, inputs)
    model.eval_head = name
    found = results(model, inputs)
    with torch.no_grad():
        images = model.preprocess_image(inputs)
        memory = model._encode(images)
        last = model.further_map(memory.levels()[-1])
        expected = model.heads[name].inference(images, [*memory.levels(), last])
    assert_same(found, [x.get_fields() for x in expected])
    assert not calls and not torch.equal(found[0]["scores"], of_decoder[0]["scores"])


def test_the_decoder_detects_without_the_heads():
    model, inputs = make_co_detr(), make_inputs()
    expected = results(model, inputs)
    model.heads = model.auxiliary_queries = model.further_map = None
    assert_same(results(model, inputs), expected)


def test_heads_see_one_more_map_and_train_the_encoder():
    model, seen = make_co_detr(), []
    model.heads["atss"].register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    losses = train(model)
    (maps,) = seen
    assert len(maps) == len(STRIDES) and all(level.shape[1] == WIDTH for level in maps)
    assert maps[-1].shape[2:] == tuple(-(-side // 2) for side in maps[-2].shape[2:])
    totals = [level.square().sum() for level in maps]
    for part in ("loss_atss_", "loss_rcnn_", "loss_atss_queries_", "loss_rcnn_queries_"):
        has_queries = "queries" in part
        names = [x for x in losses if x.startswith(part) and ("queries" in x) == has_queries]
        totals.append(sum(losses[name] for name in names))
    weights = [*model.encoder.parameters(), *model.backbone.parameters()]
    for total in totals:
        gradients = torch.autograd.grad(total, weights, retain_graph=True)
        assert all(gradient.any() for gradient in gradients[-2:])


@pytest.mark.parametrize("make_loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("classes", [[[1], []], [[], []]], ids=["one", "none"])
def test_every_weight_learns_from_any_loss_even_without_objects(make_loss, classes):
    model = make_co_detr(make_loss)
    losses = train(model, classes)
    if classes == [[], []]:
        boxes = [x for x in losses if x.endswith(("box_reg", "l1", "loc", "rank", "sort"))]
        assert len(boxes) >= 9 and all(losses[name] == 0 for name in boxes)
    sum(losses.values()).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


@pytest.mark.parametrize("make_loss", [FocalLoss, RankSortLoss])
def test_half_precision(make_loss):
    model = make_co_detr(make_loss)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = train(model)
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    if make_loss is FocalLoss:  # The order of scores that are as good as equal is chance.
        for name, value in train(make_co_detr()).items():
            assert losses[name].item() == pytest.approx(value.item(), rel=0.25), name
    sum(losses.values()).backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_a_head_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="eval_head is 'fcos', but the collaborative heads are 'a"):
        make_co_detr(eval_head="fcos")


def test_a_model_without_heads_is_another_one():
    with pytest.raises(ValueError, match="heads is None; give CollaborativeHeads, or build a Def"):
        make_co_detr(heads=None)


def test_another_number_of_classes_is_named():
    heads = make_heads()
    heads["atss"] = make_atss(FocalLoss(7))
    with pytest.raises(ValueError, match=r"num_classes is 3, but .* have 'atss' 7, 'rcnn' 3; set"):
        make_co_detr(heads=heads)
