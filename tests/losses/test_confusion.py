import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from losses.pcb_reference import SlowSoftmax, next_matrix, random_batches, soft_target

from rankdet.losses.confusion import PairwiseConfusion, pairwise_bias, posterior

C = 5


def collect(batches, momentum=0.9):
    """A confusion matrix in float64 after batches of (logits, labels), and the slow one."""
    confusion, expected = PairwiseConfusion(C, momentum).double(), {}
    for logits, labels in batches:
        probs = SlowSoftmax(C).probs(logits.detach())
        confusion.update(probs, labels)
        expected = next_matrix(expected, probs, labels, momentum)
    return confusion, expected


def without(labels, *classes):
    """Labels with some classes turned into background."""
    return labels.masked_fill(torch.isin(labels, torch.tensor(classes)), C)


@given(momentum=st.floats(0, 0.999), seed=st.integers(0, 1000))
def test_rows_are_the_running_means_of_eq_9(momentum, seed):
    batches = random_batches(4, C, C, num_samples=4, seed=seed)
    confusion, expected = collect(batches, momentum)
    for i in range(C):
        row = expected.get(i, torch.zeros(C, dtype=torch.float64))
        torch.testing.assert_close(confusion.matrix[i], row, rtol=1e-12, atol=1e-12)
        assert bool(confusion.is_known[i]) == (i in expected)


def test_a_row_moves_only_with_its_class():
    (first, labels), (second, _) = random_batches(2, C, C)
    confusion, _ = collect([(first, labels)])
    before = confusion.matrix.clone()
    confusion.update(second.softmax(1).detach(), torch.full((12,), 2))
    others = [0, 1, 3, 4]
    assert torch.equal(confusion.matrix[others], before[others])
    assert not torch.equal(confusion.matrix[2], before[2])


@pytest.mark.parametrize("num_samples", [0, 3])
def test_without_foreground_nothing_moves(num_samples):
    confusion, _ = collect(random_batches(1, C, C))
    before = {name: x.clone() for name, x in confusion.state_dict().items()}
    probs = torch.full((num_samples, C), 0.2)
    confusion.update(probs, torch.full((num_samples,), C))
    assert all(torch.equal(x, before[name]) for name, x in confusion.state_dict().items())


def test_soft_targets_are_columns_over_the_classes_seen():
    batches = [(x, without(y, 1, 3)) for x, y in random_batches(3, C, C)]
    confusion, slow = collect(batches)
    labels = torch.tensor([0, 1, 2, C, 4, 0])
    targets = confusion.soft_targets(labels)
    for target, y in zip(targets, labels.tolist(), strict=True):
        expected = torch.zeros(C) if y in (1, 3, C) else torch.tensor(soft_target(slow, y, C))
        torch.testing.assert_close(target, expected.double(), rtol=1e-12, atol=1e-12)
    assert targets.sum(1).tolist() == pytest.approx([1, 0, 1, 0, 1, 1])
    assert confusion.knows(labels).tolist() == [True, False, True, False, True, True]


def test_targets_of_one_vs_all_are_the_matrix_itself():
    confusion, _ = collect(random_batches(3, C, C))
    labels = torch.tensor([2, 0])
    targets = confusion.soft_targets(labels, normalized=False)
    assert torch.equal(targets, confusion.matrix[:, labels].T)


def test_posterior_has_columns_that_sum_to_one_and_no_nan():
    matrix = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 0.0]])
    expected = [[5 / 6, 5 / 14, 0], [1 / 6, 9 / 14, 0], [0, 0, 0]]
    torch.testing.assert_close(posterior(matrix), torch.tensor(expected))


def test_pairwise_bias_is_the_norm_over_pairs():
    matrix = torch.rand(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [(matrix[i, j] - matrix[j, i]) ** 2 for i in range(4) for j in range(4)]
    torch.testing.assert_close(pairwise_bias(matrix), sum(pairs).sqrt())
    assert pairwise_bias(matrix + matrix.T) == 0
    known = torch.tensor([True, False, True, True])
    torch.testing.assert_close(pairwise_bias(matrix, known), pairwise_bias(matrix[known][:, known]))


def test_classes_not_seen_are_no_bias():
    batches = [(x, without(y, 1)) for x, y in random_batches(2, C, C)]
    confusion, _ = collect(batches)
    seen = [0, 2, 3, 4]
    expected = pairwise_bias(confusion.matrix[seen][:, seen])
    torch.testing.assert_close(confusion.pairwise_bias(), expected)
    assert confusion.pairwise_bias() < pairwise_bias(confusion.matrix)


def test_a_prediction_that_is_not_finite_counts_for_nothing():
    ((logits, labels),) = random_batches(1, C, C)
    expected, _ = collect([(logits[1:], labels[1:])])
    broken = logits.detach().clone()
    broken[0, 2] = torch.nan
    confusion, _ = collect([(broken, labels)])
    assert torch.equal(confusion.matrix, expected.matrix)


def test_the_checkpoint_holds_everything():
    batches = list(random_batches(4, C, C))
    whole, _ = collect(batches)
    resumed = PairwiseConfusion(C, 0.9).double()
    resumed.load_state_dict(collect(batches[:2])[0].state_dict())
    for logits, labels in batches[2:]:
        resumed.update(logits.detach().softmax(1), labels)
    torch.testing.assert_close(resumed.matrix, whole.matrix, rtol=1e-14, atol=0)
    assert torch.equal(resumed.num_updates, whole.num_updates)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_count_in_float32(dtype):
    ((logits, labels),) = random_batches(1, C, C)
    probs = logits.detach().softmax(1).to(dtype)
    confusion, expected = PairwiseConfusion(C), PairwiseConfusion(C)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        confusion.update(probs, labels)
    expected.update(probs.float(), labels)
    assert confusion.matrix.dtype == torch.float32
    assert torch.equal(confusion.matrix, expected.matrix)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="num_classes is 0"):
        PairwiseConfusion(0)
    with pytest.raises(ValueError, match=r"momentum is 1; .* in \[0, 1\)"):
        PairwiseConfusion(3, momentum=1)
    confusion = PairwiseConfusion(3)
    with pytest.raises(ValueError, match=r"probs must have shape \(2, 3\), got \(2, 4\)"):
        confusion.update(torch.rand(2, 4), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"labels contains 4, outside \[0, 3\]"):
        confusion.update(torch.rand(2, 3), torch.tensor([0, 4]))
