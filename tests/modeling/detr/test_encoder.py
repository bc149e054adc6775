import math

import pytest
import torch
from modeling.detr.slow_transformer import slow_encoder_layer, slow_references
from modeling.detr.transformer_toy import (
    LAYERS,
    SHAPES,
    WIDTH,
    assert_same,
    gradients,
    make_batch,
    make_encoder,
    make_maps,
    make_masks,
    only_the_small_image,
)

from rankdet.modeling.detr import DeformableAttention, Encoder, SinePositionEncoding
from rankdet.modeling.detr.encoder import cell_references
from rankdet.modeling.detr.maps import as_memory

TINY_SIZES, TINY_PADDED, TINY_SHAPES = [(24, 16), (24, 32)], (24, 32), [(3, 4), (2, 2)]


def make_tiny_batch():
    """So few tokens that a slow loop is quick; the first image has padding."""
    maps = [x.requires_grad_() for x in make_maps(TINY_SHAPES)]
    return maps, make_masks(TINY_SIZES, TINY_PADDED, TINY_SHAPES)


def slow_encoder(encoder, maps, masks):
    memory = as_memory(maps, masks)
    codes = []
    for mask, embedding in zip(masks, encoder.level_embedding, strict=True):
        code = encoder.positions(mask).double() + embedding[:, None, None]
        codes.append(code.flatten(2).transpose(1, 2))
    positions = torch.cat(codes, dim=1)
    for layer in encoder.layers:
        memory = memory._replace(tokens=slow_encoder_layer(layer, memory, positions))
    return memory.tokens


def test_values_and_gradients_equal_a_slow_loop():
    encoder, (maps, masks) = make_encoder(), make_tiny_batch()
    fast, slow = encoder(maps, masks).tokens, slow_encoder(encoder, maps, masks)
    assert_same(fast, slow)
    inputs = *maps, *encoder.parameters()
    assert_same(gradients([fast], *inputs), gradients([slow], *inputs))


def test_references_are_shares_of_the_image_then_of_each_padded_map():
    memory = as_memory(*make_batch())
    references = cell_references(memory)
    assert_same(references, slow_references(memory))
    assert not torch.equal(references[0, :, 0], references[0, :, 1])  # The levels' padding differs.
    assert torch.equal(references[1, :, 0], references[1, :, 1])


def test_an_image_alone_is_encoded_as_in_a_batch_with_a_larger_one():
    encoder, (maps, masks) = make_encoder(), make_batch()
    alone, batch = encoder(*only_the_small_image(maps)), encoder(maps, masks)
    for expected, cells in zip(alone.levels(), batch.levels(), strict=True):
        height, width = expected.shape[2:]
        assert_same(cells[:1, :, :height, :width], expected)


def test_what_is_known_of_the_maps_stays():
    maps, masks = make_batch()
    memory, before = make_encoder()(maps, masks), as_memory(maps, masks)
    assert memory.shapes == SHAPES
    assert torch.equal(memory.is_padding, before.is_padding)
    assert torch.equal(memory.valid_ratios, before.valid_ratios)


def count_calls(module):
    calls = []
    module.register_forward_pre_hook(lambda *args: calls.append(1))
    return calls


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_checkpoints_change_no_number(dropout):
    results = []
    for checkpoints in (False, True):
        encoder = make_encoder(checkpoints=checkpoints, dropout=dropout)
        calls = count_calls(encoder.layers[0])
        torch.manual_seed(0)
        maps, masks = make_tiny_batch()
        tokens = encoder(maps, masks).tokens
        results.append((tokens, gradients([tokens], *maps, *encoder.parameters())))
        assert len(calls) == 1 + checkpoints  # Computed again in the backward pass.
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_there_are_no_checkpoints_in_inference():
    encoder, (maps, masks) = make_encoder(checkpoints=True).eval(), make_tiny_batch()
    calls = count_calls(encoder.layers[0])
    encoder(maps, masks).tokens.sum().backward()
    assert len(calls) == 1


def test_dropout_is_for_training_only():
    maps, masks = make_tiny_batch()
    with_dropout, without = make_encoder(dropout=0.5), make_encoder()
    expected = without(maps, masks).tokens
    assert not torch.equal(with_dropout(maps, masks).tokens, expected)
    assert torch.equal(with_dropout.eval()(maps, masks).tokens, expected)


def test_half_precision_samples_at_places_in_float32():
    encoder, (maps, masks) = make_encoder().float(), make_batch()
    maps, places = [x.float() for x in maps], []
    layer = encoder.layers[1].attention
    layer.register_forward_pre_hook(lambda module, args: places.append(args[1]))
    expected = encoder(maps, masks).tokens
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = encoder([x.bfloat16() for x in maps], masks).tokens
    assert places[1].dtype == torch.float32 and torch.equal(*places)
    error = (tokens - expected)[~as_memory(maps, masks).is_padding].abs()
    assert error.mean() < 0.03


def test_weights_start_by_xavier_and_the_attentions_start_survives():
    sizes = dict(num_channels=64, num_heads=8, num_levels=4, num_points=4, hidden_channels=128)
    encoder = Encoder(**sizes, num_layers=2, positions=SinePositionEncoding(64))
    fresh = DeformableAttention(64, 8, 4, 4)
    for layer in encoder.layers:
        for part in ("sampling_offsets", "attention_weights"):
            actual, expected = getattr(layer.attention, part), getattr(fresh, part)
            assert torch.equal(actual.weight, expected.weight)
            assert torch.equal(actual.bias, expected.bias)
        for linear in (layer.feed_forward[0], layer.feed_forward[3]):
            limit = math.sqrt(6 / (64 + 128))  # That of a plain linear layer is another.
            assert 0.95 * limit < linear.weight.abs().max() <= limit
    assert encoder.level_embedding.std().item() == pytest.approx(1, abs=0.15)


def test_another_number_of_maps():
    maps, masks = make_batch()
    with pytest.raises(ValueError, match=r"num_levels=2, but got 1 maps; give neck"):
        make_encoder()(maps[:1], masks[:1])


def test_masks_of_another_size():
    maps, masks = make_batch()
    with pytest.raises(ValueError, match=r"masks have the shapes \[\(4, 6\).*maps have"):
        make_encoder()(maps, masks[::-1])


def test_the_start_of_heads_of_other_widths():
    encoder = Encoder(
        **{**LAYERS, "num_heads": 1}, num_layers=1, positions=SinePositionEncoding(WIDTH)
    )
    offsets = encoder.layers[0].attention.sampling_offsets.bias.view(2, 3, 2)
    assert offsets.tolist() == [[[1, 0], [2, 0], [3, 0]]] * 2
