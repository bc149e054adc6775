"""Two processes train as one process does on the batches of both."""

import pytest
import torch
from support.longtail_training import BATCHES, train, train_rank
from support.two_ranks import run_two_ranks

synchronized = pytest.mark.parametrize("name", ["seesaw", "eqlv2"])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return run_two_ranks(train_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@synchronized
def test_statistics_are_those_of_the_union(ranks, name):
    """Also where a rank has no foreground or, at the end, no sample at all."""
    for rank in ranks:
        for (_, state), (_, expected) in zip(rank[name], train(name, [0, 1]), strict=True):
            for key in expected:
                torch.testing.assert_close(state[key], expected[key], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@synchronized
def test_mean_gradients_are_those_of_the_union(ranks, name):
    expected = [gradient for gradient, _ in train(name, [0, 1])]
    for rank in ranks:
        for iteration in range(len(BATCHES[0]) - 1):
            gradient, _ = rank[name][iteration]
            torch.testing.assert_close(gradient, expected[iteration], rtol=1e-10, atol=1e-10)
