"""Two processes agree on gradients, even if the images of one have no objects."""

import pytest
import torch
from modeling.detr.co_detr_ranks import BATCHES, train_rank
from modeling.detr.co_detr_toy import make_co_detr
from support.two_ranks import run_two_trainers


@pytest.mark.slow
def test_ranks_agree_and_none_waits_for_another(tmp_path):
    (first, weights), (second, other) = run_two_trainers(train_rank, tmp_path)
    assert len(first) == len(second) == len(BATCHES[0])
    names = [name for name, _ in make_co_detr().named_parameters()]
    for one, two in zip(first, second, strict=True):
        for name, gradient, same in zip(names, one, two, strict=True):
            assert torch.equal(gradient, same) and gradient.isfinite().all(), name
    assert all(gradient.any() for gradient in first[0])
    assert all(torch.equal(weight, other[name]) for name, weight in weights.items())
