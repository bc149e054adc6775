import math

import pytest
import torch
from losses.ranking_cases import ndcg, random_case
from losses.ranking_reference import ndcg_reference

from rankdet.losses.ndcg import ndcg_loss

algorithms = pytest.mark.parametrize("algorithm", ["exact", "pairwise"])


@algorithms
def test_toy_example_of_the_alrp_paper(algorithm):
    """Figure 1 with the gains of NDCG: 0.1625 (with G_max as printed it would be 0.6894)."""
    logits = torch.arange(10, 0, -1).double() / 10
    targets = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    value = ndcg_loss(logits, targets, delta=0.0, algorithm=algorithm)
    gains, ideal = (
        sum(1 / math.log2(1 + r) for r in ranks) for ranks in ((1, 3, 6, 10), range(1, 5))
    )
    assert value.item() == pytest.approx(1 - gains / ideal, rel=1e-12)
    assert value.item() == pytest.approx(0.1625, abs=5e-5)


@algorithms
@pytest.mark.parametrize("num_pos", [1, 4, 50])
def test_without_ties_the_hard_loss_is_one_minus_ndcg(num_pos, algorithm):
    case = random_case(num_pos=num_pos, num_neg=60, num_ignored=0, delta=0.0)
    is_pos = case.targets[case.logits.argsort(descending=True)] > 0
    gains = 1 / torch.arange(2, len(is_pos) + 2).double().log2()
    expected = 1 - gains[is_pos].sum() / gains[:num_pos].sum()
    torch.testing.assert_close(
        ndcg(case, algorithm=algorithm)[0].detach(), expected, rtol=1e-10, atol=1e-12
    )


@algorithms
def test_one_negative_above_by_hand(algorithm):
    """Rank 2 instead of 1: 1 - 1 / log2(3), all of it on this pair."""
    logits = torch.tensor([0.0, 5.0], dtype=torch.float64, requires_grad=True)
    value = ndcg_loss(logits, torch.tensor([1, 0]), algorithm=algorithm)
    value.backward()
    error = 1 - 1 / math.log2(3)
    assert value.item() == pytest.approx(error)
    assert logits.grad.tolist() == pytest.approx([-error, error])


@algorithms
def test_a_positive_below_others_pays_for_negatives_only(algorithm):
    """Ranks 1 and 2 among positives are where they belong: the target is rank+, not 1."""
    logits = torch.tensor([2.0, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    value = ndcg_loss(logits, torch.tensor([1, 1, 0]), delta=0.0, algorithm=algorithm)
    value.backward()
    ideal = 1 + 1 / math.log2(3)
    errors = [(1 - 1 / math.log2(3)) / ideal, (1 / math.log2(3) - 1 / 2) / ideal]
    assert value.item() == pytest.approx(sum(errors))
    assert logits.grad.tolist() == pytest.approx([-errors[0], -errors[1], sum(errors)])


def test_defaults_are_exact_with_one_logit():
    case = random_case(delta=1.0)
    value = ndcg_loss(case.logits, case.targets)
    assert torch.equal(value, ndcg(case, algorithm="exact")[0])
    torch.testing.assert_close(value.detach(), ndcg_reference(case)[0].value)


def test_a_million_equal_logits_have_a_closed_form():
    num_pos, num_neg = 1_000, 999_000
    logits = torch.full((num_pos + num_neg,), -4.6, requires_grad=True)
    targets = torch.zeros(num_pos + num_neg)
    targets[::1000] = 1
    value = ndcg_loss(logits, targets)
    value.backward()
    rank_pos = 1 + (num_pos - 1) / 2
    ideal = sum(1 / math.log2(1 + n) for n in range(1, num_pos + 1))
    error = (1 / math.log2(1 + rank_pos) - 1 / math.log2(1 + rank_pos + num_neg / 2)) / ideal
    assert value.item() == pytest.approx(num_pos * error, rel=1e-6)
    expected = torch.where(targets == 1, -error, num_pos * error / num_neg)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-5, atol=0)
