import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNConvFCHead

from rankdet.modeling.box_head import XavierBoxHead

SHAPE = ShapeSpec(channels=8, height=7, width=7)


def test_weights_start_uniform_between_the_bounds_of_inputs_and_outputs():
    torch.manual_seed(0)
    head = XavierBoxHead(SHAPE, fc_dims=[64, 128])
    for layer, (inputs, outputs) in zip(head.fcs, [(8 * 49, 64), (64, 128)], strict=True):
        bound = math.sqrt(6 / (inputs + outputs))
        largest = layer.weight.abs().max().item()
        assert 0.99 * bound < largest <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
        assert not layer.bias.any()


def test_else_it_is_detectron2s():
    head = XavierBoxHead(SHAPE, fc_dims=[16, 12])
    theirs = FastRCNNConvFCHead(SHAPE, conv_dims=[], fc_dims=[16, 12])
    theirs.load_state_dict(head.state_dict())
    x = torch.randn(3, 8, 7, 7)
    assert torch.equal(head(x), theirs(x)) and head(x).shape == (3, 12)
