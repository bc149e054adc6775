"""Two processes train a transformer detector as one does on the images of both."""

import pytest
import torch
from support.tiny_detr import make_detr
from support.two_rank_training import changes_in_one_process, changes_on_two_ranks


@pytest.mark.slow
def test_equals_one_process_even_if_a_rank_has_no_object(tmp_path):
    first, second = changes_on_two_ranks(make_detr, tmp_path)
    for name, expected in changes_in_one_process(make_detr).items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], expected, rtol=1e-3, atol=1e-6)
