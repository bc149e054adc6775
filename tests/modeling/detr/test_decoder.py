import pytest
import torch
from modeling.detr.slow_transformer import slow_decoder
from modeling.detr.transformer_toy import (
    LAYERS,
    NUM_LOGITS,
    NUM_QUERIES,
    assert_same,
    gradients,
    make_batch,
    make_decoder,
    make_encoder,
    make_memory,
    make_queries,
    only_the_small_image,
    randn,
)

from rankdet.modeling.detr import BoxHead, Decoder, DeformableAttention


def test_values_and_gradients_equal_a_slow_loop():
    decoder, queries, memory = make_decoder(3), make_queries(), make_memory()
    fast, slow = decoder(queries, memory), slow_decoder(decoder, queries, memory)
    assert fast.logits.shape == (3, 2, NUM_QUERIES, NUM_LOGITS)
    assert fast.boxes.shape == (3, 2, NUM_QUERIES, 4)
    assert_same(tuple(fast), slow)
    inputs = queries.contents, queries.positions, memory.tokens, *decoder.parameters()
    assert_same(gradients(fast, *inputs), gradients(slow, *inputs))


@pytest.mark.parametrize("layer", range(4))
def test_boxes_of_a_layer_teach_its_own_head_and_the_one_before(layer):
    decoder = make_decoder(4)
    boxes = decoder(make_queries(), make_memory()).boxes[layer]
    (boxes * randn(*boxes.shape, seed=0)).sum().backward()
    learning = [n for n, head in enumerate(decoder.box_heads) if has_gradient(head)]
    assert learning == ([layer - 1, layer] if layer else [0])
    assert has_gradient(decoder.layers[0]) and not has_gradient(decoder.class_heads)


def test_logits_teach_no_box_head():
    decoder = make_decoder(3)
    decoder(make_queries(), make_memory()).logits.sum().backward()
    assert has_gradient(decoder.layers[0]) and not has_gradient(decoder.box_heads)


def has_gradient(module):
    return any(x.grad is not None and x.grad.any() for x in module.parameters())


def test_queries_in_another_order_give_the_same_in_that_order():
    decoder, queries, memory = make_decoder(), make_queries(), make_memory()
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = queries._make(x[:, order] for x in queries)
    expected = decoder(queries, memory)
    assert_same(tuple(decoder(shuffled, memory)), tuple(x[:, :, order] for x in expected))


def test_an_image_alone_is_decoded_as_in_a_batch_with_a_larger_one():
    encoder, decoder, queries = make_encoder(), make_decoder(), make_queries()
    maps, masks = make_batch()
    batch = decoder(queries, encoder(maps, masks))
    alone = decoder(queries._make(x[:1] for x in queries), encoder(*only_the_small_image(maps)))
    assert_same(tuple(x[:, :1] for x in batch), tuple(alone))
    boxes = encoder(maps, masks)._replace(valid_ratios=torch.ones(2, 2, 2).double())
    assert not torch.allclose(decoder(queries, boxes).logits[:, :1], alone.logits)


def test_boxes_start_where_the_queries_are():
    decoder = Decoder(**LAYERS, num_logits=NUM_LOGITS, num_layers=3).double()
    queries = make_queries()
    for boxes in decoder(queries, make_memory()).boxes:
        assert_same(boxes, queries.boxes)


def test_boxes_at_the_borders_can_leave_them():
    decoder, queries, memory = make_decoder(), make_queries(), make_memory()
    edges = queries._replace(boxes=queries.boxes.round())
    assert edges.boxes.unique().tolist() == [0, 1]
    fast, slow = decoder(edges, memory), slow_decoder(decoder, edges, memory)
    assert fast.boxes.min() > 0 and fast.boxes.max() < 1
    assert_same(tuple(fast), slow)
    heads = list(decoder.box_heads.parameters())
    assert_same(gradients(fast, *heads), gradients(slow, *heads))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_boxes_are_float32_in_half_precision(dtype):
    decoder, queries, memory = make_decoder().float(), make_queries(), make_memory()
    queries = queries._make(x.detach().float() for x in queries)
    memory = memory._replace(
        tokens=memory.tokens.detach().float(), valid_ratios=memory.valid_ratios.float()
    )
    places = []
    for layer in decoder.layers:
        layer.attention.register_forward_pre_hook(lambda module, args: places.append(args[1]))
    expected = decoder(queries, memory)
    with torch.autocast("cpu", dtype=dtype):
        predictions = decoder(queries, memory._replace(tokens=memory.tokens.to(dtype)))
    assert predictions.boxes.dtype == torch.float32
    assert {x.dtype for x in places} == {torch.float32} and torch.equal(places[0], places[2])
    torch.testing.assert_close(predictions.boxes, expected.boxes, rtol=0, atol=0.05)
    sum(x.float().sum() for x in predictions).backward()


def test_tiny_boxes_are_not_rounded_in_half_precision():
    decoder = Decoder(**LAYERS, num_logits=NUM_LOGITS, num_layers=2)
    queries, memory = make_queries(), make_memory()
    boxes = torch.linspace(0.0011, 0.0012, queries.boxes.numel()).view_as(queries.boxes)
    queries = queries._make(x.detach().float() for x in queries)._replace(boxes=boxes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory = memory._replace(
            tokens=memory.tokens.detach().bfloat16(), valid_ratios=memory.valid_ratios.float()
        )
        found = decoder(queries, memory).boxes[-1]
    torch.testing.assert_close(found, boxes, rtol=1e-5, atol=0)


def test_dropout_is_for_training_only():
    queries, memory = make_queries(), make_memory()
    with_dropout, without = make_decoder(dropout=0.5), make_decoder()
    expected = without(queries, memory).logits
    assert not torch.allclose(with_dropout(queries, memory).logits, expected)
    assert_same(with_dropout.eval()(queries, memory).logits, expected)


def test_the_attentions_start_survives():
    decoder = Decoder(**LAYERS, num_logits=NUM_LOGITS, num_layers=2)
    fresh = DeformableAttention(*list(LAYERS.values())[:4])
    for layer in decoder.layers:
        for part in ("sampling_offsets", "attention_weights"):
            assert torch.equal(getattr(layer.attention, part).weight, getattr(fresh, part).weight)
            assert torch.equal(getattr(layer.attention, part).bias, getattr(fresh, part).bias)


def test_heads_are_copies_of_their_own():
    decoder = make_decoder(3)
    parameters = [*decoder.class_heads.parameters(), *decoder.box_heads.parameters()]
    assert len({id(x) for x in parameters}) == len(parameters) == 3 * (2 + 6)


def test_a_box_head_starts_with_no_change():
    assert not BoxHead(8)(torch.randn(3, 8)).any()
