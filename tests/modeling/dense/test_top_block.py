import torch
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from torch.nn import functional as F  # noqa: N812

from rankdet.modeling.dense.top_block import PlainP6P7


def test_p7_is_made_of_p6_as_it_is():
    torch.manual_seed(0)
    block, feature = PlainP6P7(4, 5, "p5"), torch.randn(2, 4, 9, 6)
    p6, p7 = block(feature)
    torch.testing.assert_close(p6, F.conv2d(feature, block.p6.weight, block.p6.bias, 2, 1))
    torch.testing.assert_close(p7, F.conv2d(p6, block.p7.weight, block.p7.bias, 2, 1))
    assert (p6 < 0).any() and p6.shape[2:] == (5, 3) and p7.shape[2:] == (3, 2)


def test_it_takes_the_place_of_detectron2_s():
    block, other = PlainP6P7(4, 5, "p5"), LastLevelP6P7(4, 5, "p5")
    other.load_state_dict(block.state_dict())
    feature = torch.randn(1, 4, 8, 8)
    assert torch.equal(block(feature)[0], other(feature)[0])
    assert not torch.equal(block(feature)[1], other(feature)[1])
    assert (block.in_feature, block.num_levels) == (other.in_feature, other.num_levels)
