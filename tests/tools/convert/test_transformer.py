"""A converted Co-DETR computes what its weights say, written slowly here."""

import pytest
import torch
from detectron2.structures import ImageList
from tools.convert.slow_co_detr import SlowCoDETR
from tools.convert.tiny_co_detr import (
    CHANNELS,
    CLASSES,
    HEADS,
    INPUTS,
    LAYERS,
    LEVELS,
    POINTS,
    QUERIES,
    settings,
    tiny_conversion,
    tiny_weights,
)

from rankdet.tools.convert.__main__ import convert_all
from rankdet.tools.convert.completion import complete
from rankdet.tools.convert.facts import check_facts

AT = "query_head.transformer."
BRS = "coco/brs_detr_r50.py"


def converted(weights, text="", name="coco/co_detr_r50.py"):
    conversion = tiny_conversion(weights, text, name)
    check_facts(conversion)
    result = convert_all(conversion)
    complete(conversion, result)
    model = conversion.target.model
    model.load_state_dict(result.weights)
    return model.eval(), result


@pytest.fixture(scope="module")
def weights():
    return tiny_weights()


@torch.no_grad()
def decoded(model, features):
    """Logits and boxes of the last layer, of one image."""
    maps = model.neck(features)
    memory = model.encoder(maps, [torch.zeros(1, *x.shape[-2:]).bool() for x in maps])
    predictions = model.decoder(model.query_selection(memory).queries, memory)
    return predictions.logits[-1, 0], predictions.boxes[-1, 0]


def test_the_decoder_predicts_what_the_release_s_weights_say(weights):
    model, _ = converted(weights)
    generator = torch.Generator().manual_seed(3)
    features = [
        torch.randn(1, channels, *size, generator=generator)
        for channels, size in zip(INPUTS, [(12, 16), (6, 8)], strict=True)
    ]
    slow = SlowCoDETR(weights, HEADS, LEVELS, POINTS, QUERIES)
    logits, boxes = slow.decode(features)
    found = decoded(model, dict(zip(["res3", "res4"], features, strict=True)))
    assert found[0].shape == (QUERIES, CLASSES) and logits.std() > 0.1
    torch.testing.assert_close(found[0], logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[1], boxes, rtol=1e-3, atol=1e-4)


def test_objectness_is_class_0_of_the_encoder(weights):
    _, result = converted(weights)
    source = weights[f"query_head.cls_branches.{LAYERS}.weight"]
    assert source.shape[0] == CLASSES
    assert torch.equal(result.weights["query_selection.class_head.weight"], source[:1])
    (note,) = result.used["query_selection.class_head.bias"].changes
    assert note == "class 0 of the encoder, which means any object"


@pytest.mark.parametrize(("number", "name"), [(0, "rcnn"), (1, "atss")])
def test_heads_of_the_release_are_in_the_order_of_roi_heads_and_atss(weights, number, name):
    _, result = converted(weights)
    ours = f"auxiliary_queries.{name}."
    for theirs, target in (
        (f"aux_pos_trans.{number}.weight", "boxes.0.weight"),
        (f"aux_pos_trans_norm.{number}.bias", "boxes.1.bias"),
        (f"pos_feats_trans.{number}.bias", "features.0.bias"),
        (f"pos_feats_norm.{number}.weight", "features.1.weight"),
    ):
        assert torch.equal(result.weights[ours + target], weights[AT + theirs])
    position = result.weights[f"{ours}position"]
    assert position.shape == (1, CHANNELS)
    assert (position == weights[f"{AT}head_pos_embed.weight"][number]).all()


def test_positions_of_heads_may_be_the_vectors_that_their_authors_meant(weights):
    rows = torch.randn(2, CHANNELS)
    _, result = converted({**weights, f"{AT}head_pos_embed.weight": rows})
    for number, name in enumerate(["rcnn", "atss"]):
        assert torch.equal(result.weights[f"auxiliary_queries.{name}.position"][0], rows[number])


def test_the_further_map_is_the_release_s(weights):
    model, _ = converted(weights)
    x = torch.randn(1, CHANNELS, 5, 7)
    names = [f"query_head.downsample.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")]
    conv, bias, scale, shift = (weights[name] for name in names)
    expected = torch.nn.functional.conv2d(x, conv, bias, stride=2, padding=1)
    expected = torch.nn.functional.group_norm(expected, 32, scale, shift)
    torch.testing.assert_close(model.further_map(x), expected)


def of_anchor(tensor, anchors):
    """Rows of each anchor, first dimension."""
    return tensor.unflatten(0, (anchors, -1))


def test_anchors_of_the_rpn_get_detectron2_s_order(weights):
    """Nine of a cell: sizes before shapes there, shapes before sizes here."""
    _, result = converted(weights)
    for theirs, ours in (("rpn_cls", "objectness_logits"), ("rpn_reg", "anchor_deltas")):
        rows = of_anchor(weights[f"rpn_head.{theirs}.weight"], 9)
        found = of_anchor(
            result.weights[f"heads.rcnn.proposal_generator.rpn_head.{ours}.weight"], 9
        )
        for size in range(3):
            for shape in range(3):
                assert torch.equal(found[size * 3 + shape], rows[shape * 3 + size])


@pytest.mark.parametrize("is_ranking", [False, True])
def test_heads_convert_as_detectors_of_their_own(is_ranking):
    weights = tiny_weights(is_ranking=is_ranking)
    name = BRS if is_ranking else "coco/co_detr_r50.py"
    _, result = converted(weights, name=name)
    roi, atss = "roi_head.0.bbox_head.", "bbox_head.0."
    ours, theirs = "heads.rcnn.roi_heads.", "heads.atss.detector.head."
    for source, target in (
        (f"{roi}fc_cls.weight", f"{ours}box_predictor.cls_score.weight"),
        (f"{roi}fc_reg.bias", f"{ours}box_predictor.bbox_pred.bias"),
        (f"{roi}shared_fcs.1.weight", f"{ours}box_head.fc2.weight"),
        ("rpn_head.rpn_conv.weight", "heads.rcnn.proposal_generator.rpn_head.conv.weight"),
        (f"{atss}cls_convs.0.gn.weight", f"{theirs}cls_subnet.1.weight"),
        (f"{atss}reg_convs.0.conv.weight", f"{theirs}bbox_subnet.0.weight"),
        (f"{atss}atss_cls.bias", f"{theirs}cls_score.bias"),
        (f"{atss}atss_reg.weight", f"{theirs}bbox_pred.weight"),
    ):
        assert torch.equal(result.weights[target], weights[source]), target
        assert result.used[target].source_names == [source]
    scales = [weights[f"{atss}scales.{level}.scale"] for level in range(5)]
    assert torch.equal(result.weights[f"{theirs}scales"], torch.stack(scales))
    assert (f"{theirs}ctrness.weight" in result.weights) == (not is_ranking)


def test_a_converted_model_detects_by_each_head(weights):
    model, _ = converted(weights, settings())
    images = ImageList.from_tensors([torch.randn(3, 192, 288)])
    with torch.no_grad():
        memory = model._encode(images)
        for head in (None, "atss", "rcnn"):
            model.eval_head = head
            (found,) = model.detect(images, memory)
            assert len(found) > 0 and found.scores.isfinite().all()
