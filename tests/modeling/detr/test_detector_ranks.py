"""Two processes train a transformer detector as one does on the images of both."""

import pytest
import torch
from support.detr_training import train_on_two_ranks, trained_weights
from support.one_stage_training import BATCHES
from support.tiny_detr import make_detr


@pytest.mark.slow
def test_equals_one_process_even_if_a_rank_has_no_object(tmp_path):
    first, second = train_on_two_ranks(tmp_path)
    expected = trained_weights([one + other for one, other in zip(*BATCHES, strict=True)])
    start = make_detr().state_dict()
    for name, weight in expected.items():
        assert torch.equal(first[name], second[name]), name
        change = weight - start[name]
        torch.testing.assert_close(first[name] - start[name], change, rtol=1e-3, atol=1e-6)
