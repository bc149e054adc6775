import math

import pytest
import torch
from modeling.detr.slow_transformer import slow_attention
from modeling.detr.transformer_toy import (
    LAYERS,
    WIDTH,
    assert_same,
    gradients,
    make_memory,
    randn,
    randomized,
)

from rankdet.modeling.detr import DeformableAttention

SIZES = {name: LAYERS[name] for name in ("num_channels", "num_heads", "num_levels", "num_points")}


def make_attention(**sizes):
    torch.manual_seed(0)
    return randomized(DeformableAttention(**{**SIZES, **sizes}))


def make_inputs(size, num_queries=4):
    """Queries, and references of which some are outside of the maps."""
    queries = randn(2, num_queries, WIDTH, seed=3)
    centers = 0.5 + 0.5 * randn(2, num_queries, 2, 2, seed=4)
    boxes = torch.cat([centers, randn(2, num_queries, 2, 2, seed=5).abs()], dim=3)
    return queries.requires_grad_(), boxes[..., :size].clone().requires_grad_()


@pytest.mark.parametrize("size", [2, 4], ids=["points", "boxes"])
def test_values_and_gradients_equal_a_slow_loop(size):
    attention, memory = make_attention(), make_memory()
    queries, references = make_inputs(size)
    fast, slow = (
        attend(queries, references, memory)
        for attend in (attention, lambda *args: slow_attention(attention, *args))
    )
    assert_same(fast, slow)
    inputs = queries, references, memory.tokens, *attention.parameters()
    assert_same(gradients([fast], *inputs), gradients([slow], *inputs))


def test_other_numbers_of_heads_points_and_images():
    attention = make_attention(num_heads=4, num_points=1)
    memory = make_memory()
    memory = memory._replace(tokens=memory.tokens[:1], is_padding=memory.is_padding[:1])
    queries, references = (x[:1] for x in make_inputs(2))
    assert_same(
        attention(queries, references, memory),
        slow_attention(attention, queries, references, memory),
    )


def test_nothing_is_outside_of_the_maps():
    attention = make_attention()
    queries, _ = make_inputs(2)
    for far in (-9.0, 9.0):
        attended = attention(queries, torch.full((2, 4, 2, 2), far).double(), make_memory())
        assert_same(attended, attention.output_proj.bias.expand_as(attended))


def test_padding_has_no_influence():
    attention, memory = make_attention(), make_memory()
    queries, references = make_inputs(4)
    expected = attention(queries, references, memory)
    (gradient,) = gradients([expected], memory.tokens)
    assert not gradient[memory.is_padding].any() and gradient[~memory.is_padding].any()
    other = memory._replace(tokens=memory.tokens.masked_fill(memory.is_padding[..., None], 1e6))
    assert_same(attention(queries, references, other), expected)


T = 1 / math.sqrt(3)
DIRECTIONS = {
    1: [(1, 0)],
    3: [(1, 0), (-T, 1), (-T, -1)],
    4: [(1, 0), (0, 1), (-1, 0), (0, -1)],
    8: [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)],
}


@pytest.mark.parametrize("num_heads", DIRECTIONS)
def test_points_start_so_many_cells_away_in_the_direction_of_the_head(num_heads):
    attention = DeformableAttention(24, num_heads, num_levels=3, num_points=4)
    offsets = attention.sampling_offsets(torch.randn(24)).view(num_heads, 3, 4, 2)
    for head, direction in enumerate(DIRECTIONS[num_heads]):
        for level in range(3):
            for point in range(4):
                expected = [(point + 1) * x for x in direction]
                assert offsets[head, level, point].tolist() == pytest.approx(expected, abs=1e-5)


def test_all_points_start_with_the_same_weight():
    attention = DeformableAttention(**SIZES)
    assert not attention.attention_weights(torch.randn(WIDTH)).any()


def test_projections_start_by_xavier():
    attention = DeformableAttention(64, 8, 1, 1)
    for layer in (attention.value_proj, attention.output_proj):
        limit = math.sqrt(6 / (64 + 64))
        assert 0.95 * limit < layer.weight.abs().max() <= limit
        assert not layer.bias.any()


@pytest.mark.parametrize("name", ["num_heads", "num_levels", "num_points"])
def test_numbers_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} .*0.*must be positive"):
        DeformableAttention(**{**SIZES, name: 0})


def test_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match=r"num_channels is 16, but 3 heads .* multiple of 3"):
        DeformableAttention(**{**SIZES, "num_heads": 3})


def test_another_number_of_levels():
    with pytest.raises(ValueError, match=r"num_levels=3, but the memory has 2; give"):
        make_attention(num_levels=3)(*make_inputs(2), make_memory())
