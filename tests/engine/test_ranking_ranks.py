"""Two processes with ranking losses: each ranks its own images, and they share aLRP's balance."""

import pytest
import torch
from support.ranking_training import BATCHES, LOSSES, losses_of_batch, train_on_two_ranks


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return train_on_two_ranks(tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", LOSSES)
def test_each_rank_ranks_its_own_images(ranks, name):
    for rank in range(2):
        expected = losses_of_batch(name, BATCHES[rank][0])
        assert ranks[rank][name]["losses"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_rank_without_any_positive_trains_on(ranks, name):
    with_objects, without = (rank[name]["losses"][1] for rank in ranks)
    assert all(value == 0 for value in without.values())
    assert sum(with_objects.values()) > 0
    for rank in ranks:
        assert all(x.isfinite().all() for x in rank[name]["state"].values())
    for key, value in ranks[0][name]["state"].items():
        assert torch.equal(value, ranks[1][name]["state"][key]), key


def test_the_balance_is_that_of_the_images_of_both_ranks(ranks):
    results = [rank["aLRP"] for rank in ranks]
    for head in results[0]["terms"]:
        first, second, third = torch.tensor(
            [result["terms"][head] for result in results], dtype=torch.float64
        ).mean(dim=0)
        sums = first + second
        for result in results:
            state = result["state"]
            assert state[f"{head}.box_weight"].item() == pytest.approx(float(sums.sum() / sums[1]))
            torch.testing.assert_close(state[f"{head}.last_terms"], third, rtol=1e-6, atol=0)
            assert (state[f"{head}.term_sums"] == 0).all()
            assert state[f"{head}.num_iterations"] == 1
