import math

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransformLinear

from rankdet.modeling.dense.distances import ExponentialDistances

CODE = ExponentialDistances()


def test_a_box_by_hand():
    """Center (4, 4); 1, 2, 3 and 4 pixels to the sides; the size of the anchor does not matter."""
    deltas = torch.tensor([[1.0, 2, 3, 4]]).log()
    for anchor in ([0.0, 0, 8, 8], [3.0, 3, 5, 5]):
        box = CODE.apply_deltas(deltas, torch.tensor([anchor]))
        torch.testing.assert_close(box, torch.tensor([[3.0, 2, 7, 8]]))


def test_what_is_coded_is_decoded():
    generator = torch.Generator().manual_seed(0)
    centers, sides = (50 * torch.rand(9, k, generator=generator) + 1 for k in (2, 4))
    anchors = torch.cat([centers - 4, centers + 4], dim=1)
    boxes = torch.cat([centers - sides[:, :2], centers + sides[:, 2:]], dim=1)
    torch.testing.assert_close(CODE.apply_deltas(CODE.get_deltas(anchors, boxes), anchors), boxes)
    pixels = Box2BoxTransformLinear(normalize_by_size=False).get_deltas(anchors, boxes)
    torch.testing.assert_close(CODE.get_deltas(anchors, boxes), pixels.log())


@pytest.mark.parametrize("delta", [100.0, math.inf, -100.0])
def test_wild_predictions_stay_finite(delta):
    boxes = CODE.apply_deltas(torch.full((1, 4), delta), torch.tensor([[0.0, 0, 8, 8]]))
    assert boxes.isfinite().all() and (boxes[:, 2:] >= boxes[:, :2]).all()
