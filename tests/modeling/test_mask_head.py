import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead

from rankdet.modeling.mask_head import DiceMaskHead, MaskHead
from rankdet.modeling.normed_layers import NormedConv2d

SHAPE = ShapeSpec(channels=8, height=7, width=7)


def test_last_layer_is_injected():
    head = MaskHead(
        SHAPE,
        num_classes=5,
        conv_dims=[8, 6],
        predictor=NormedConv2d.with_temperature(20.0),
        loss_weight=2.0,
    )
    assert isinstance(head.predictor, NormedConv2d) and head.loss_weight == 2
    masks = head.layers(torch.randn(3, 8, 7, 7))
    assert masks.shape == (3, 5, 14, 14) and masks.abs().max() <= 20


def test_with_a_plain_convolution_it_is_detectron2s():
    torch.manual_seed(0)
    ours = MaskHead(SHAPE, num_classes=5, conv_dims=[8, 6])
    theirs = MaskRCNNConvUpsampleHead(SHAPE, num_classes=5, conv_dims=[8, 6])
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 8, 7, 7)
    torch.testing.assert_close(ours.layers(x), theirs.layers(x))


@pytest.mark.parametrize("kind", [MaskHead, DiceMaskHead])
@pytest.mark.parametrize("num_classes", [4, 80])
def test_the_last_layer_starts_by_its_outputs(kind, num_classes):
    """Kaiming's normal weights, fan out: a deviation of sqrt(2 / outputs)."""
    torch.manual_seed(0)
    predictor = kind(SHAPE, num_classes=num_classes, conv_dims=[8, 600]).predictor
    assert predictor.weight.std().item() == pytest.approx((2 / num_classes) ** 0.5, rel=0.05)
    assert not predictor.bias.any()
