"""A small encoder and decoder in float64 whose weights are all random, and a batch with padding."""

import torch

from rankdet.modeling.detr import Decoder, Encoder, Queries, SinePositionEncoding, padding_masks
from rankdet.modeling.detr.maps import as_memory

WIDTH = 16
LAYERS = dict(num_channels=WIDTH, num_heads=2, num_levels=2, num_points=3, hidden_channels=24)
NUM_LOGITS, NUM_QUERIES = 3, 5

# The small image has 5 x 7 cells of 8 x 12 and 3 x 4 of 4 x 6: other shares on each level.
PADDED_SIZE, SHAPES = (64, 96), [(8, 12), (4, 6)]
SMALL_SIZE, SMALL_SHAPES = (40, 56), [(5, 7), (3, 4)]


def randomized(module, seed=0):
    """No zeros to start from, which hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.2 * noise
    return module.double()


def make_encoder(num_layers=2, **options):
    torch.manual_seed(0)
    positions = SinePositionEncoding(WIDTH)
    return randomized(
        Encoder(**{**LAYERS, **options}, positions=positions, num_layers=num_layers), seed=1
    )


def make_decoder(num_layers=2, **options):
    torch.manual_seed(0)
    return randomized(
        Decoder(**{**LAYERS, **options}, num_logits=NUM_LOGITS, num_layers=num_layers), seed=2
    )


def randn(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def make_maps(shapes, batch_size=2):
    return [randn(batch_size, WIDTH, *shape, seed=n) for n, shape in enumerate(shapes)]


def make_masks(image_sizes, padded_size, shapes):
    return padding_masks(image_sizes, padded_size, shapes, torch.device("cpu"))


def make_batch():
    """Maps and masks of a small image and one of the whole size."""
    masks = make_masks([SMALL_SIZE, PADDED_SIZE], PADDED_SIZE, SHAPES)
    return make_maps(SHAPES), masks


def only_the_small_image(maps):
    """Maps and masks of the small image of a batch, without padding."""
    cut = [x[:1, :, :height, :width] for x, (height, width) in zip(maps, SMALL_SHAPES, strict=True)]
    return cut, make_masks([SMALL_SIZE], SMALL_SIZE, SMALL_SHAPES)


def make_memory():
    """Tokens of that batch as leaves."""
    memory = as_memory(*make_batch())
    return memory._replace(tokens=memory.tokens.clone().requires_grad_())


def make_queries(batch_size=2, num_queries=NUM_QUERIES):
    contents = randn(batch_size, num_queries, WIDTH, seed=10)
    positions = randn(batch_size, num_queries, WIDTH, seed=11)
    boxes = randn(batch_size, num_queries, 4, seed=12).sigmoid()
    return Queries(contents.requires_grad_(), positions.requires_grad_(), boxes)


def gradients(outputs, *inputs):
    """Of a random weighting of the outputs, to each of the inputs."""
    seeds = range(100, 100 + len(outputs))
    total = sum((x * randn(*x.shape, seed=n)).sum() for x, n in zip(outputs, seeds, strict=True))
    return torch.autograd.grad(total, inputs)


def assert_same(actual, expected):
    """To 1e-10 in float64."""
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
