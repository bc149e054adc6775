"""Numbers of weights at the sizes of the released Co-DETR with R50."""

from rankdet.modeling.detr import Decoder, Encoder, SinePositionEncoding

RELEASED = dict(
    num_channels=256,
    num_heads=8,
    num_levels=4,
    num_points=4,
    hidden_channels=2048,
    num_layers=6,
)


def linear(num_in, num_out):
    return num_in * num_out + num_out


# Offsets, weights, value and output projection.
ATTENTION = linear(256, 8 * 4 * 4 * 2) + linear(256, 8 * 4 * 4) + 2 * linear(256, 256)
FEED_FORWARD = linear(256, 2048) + linear(2048, 256)
NORM = 2 * 256


def count(module):
    return sum(x.numel() for x in module.parameters())


def test_encoder():
    encoder = Encoder(**RELEASED, positions=SinePositionEncoding(256))
    assert count(encoder.layers[0]) == ATTENTION + FEED_FORWARD + 2 * NORM == 1_282_176
    assert count(encoder) == 6 * 1_282_176 + 4 * 256 == 7_694_080


def test_decoder():
    decoder = Decoder(**RELEASED, num_logits=80)
    layer = 4 * linear(256, 256) + ATTENTION + FEED_FORWARD + 3 * NORM
    assert count(decoder.layers[0]) == layer == 1_545_856
    heads = linear(256, 80) + 2 * linear(256, 256) + linear(256, 4)
    assert count(decoder) == 6 * (layer + heads) == 10_194_168


def test_offsets_can_be_told_by_name():
    decoder = Decoder(**RELEASED, num_logits=80)
    names = [name for name, _ in decoder.named_parameters() if "sampling_offsets" in name]
    assert len(names) == 6 * 2
