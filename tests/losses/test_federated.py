import pytest
import torch
from support.loss_tester import NUM_CLASSES, LossTester, random_batch

from rankdet.losses.federated import FederatedLoss, federated_loss, sample_federated_classes
from rankdet.losses.sigmoid import sigmoid_bce_loss

COUNTS = torch.tensor([100, 10, 1, 50, 5])


class TestFederatedLoss(LossTester):
    """With as many sampled classes as there are, federated loss is sigmoid BCE."""

    def make(self):
        return FederatedLoss(COUNTS, num_sampled_classes=50)

    def reference(self, logits, labels):
        return sigmoid_bce_loss(logits, labels)


def test_only_kept_classes_cost():
    logits, labels = random_batch(9, NUM_CLASSES)
    kept = torch.tensor([True, False, True, False, True])
    value = federated_loss(logits, labels, kept)
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[:, ~kept] == 0).all() and (gradient[:, kept] != 0).all()
    alone = sum(federated_loss(logits, labels, torch.arange(NUM_CLASSES) == c) for c in (0, 2, 4))
    torch.testing.assert_close(value, alone)


def test_batch_classes_are_kept_and_background_counts_as_one():
    labels = torch.tensor([2, 5, 2])
    for _ in range(20):
        kept = sample_federated_classes(labels, COUNTS.float(), num_sampled=4)
        assert kept[2] and kept.sum() == 3


def test_more_batch_classes_than_asked_for_are_all_kept():
    kept = sample_federated_classes(torch.tensor([0, 1, 2, 3]), COUNTS.float(), num_sampled=2)
    assert kept.tolist() == [True, True, True, True, False]


def test_fewer_classes_than_asked_for_are_all_kept():
    kept = sample_federated_classes(torch.tensor([5]), COUNTS.float(), num_sampled=50)
    assert kept.all()


def test_a_class_of_weight_zero_is_never_drawn():
    weights = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    for _ in range(20):
        kept = sample_federated_classes(torch.tensor([5]), weights, num_sampled=50)
        assert kept.tolist() == [True, False, True, False, True]
    assert sample_federated_classes(torch.tensor([1]), weights, num_sampled=50)[1]


def test_draws_have_the_distribution_of_torch_multinomial():
    torch.manual_seed(0)
    weights, labels, num_draws = COUNTS.float() ** 0.5, torch.tensor([5]), 4000
    ours = sum(sample_federated_classes(labels, weights, 3).float() for _ in range(num_draws))
    theirs = torch.zeros(NUM_CLASSES)
    for _ in range(num_draws):
        theirs[torch.multinomial(weights, 2, replacement=False)] += 1
    torch.testing.assert_close(ours / num_draws, theirs / num_draws, rtol=0, atol=0.04)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match=r"image_counts\[1\] is -2"):
        FederatedLoss([1, -2])
    with pytest.raises(ValueError, match="num_sampled_classes is 0"):
        FederatedLoss([1, 2], num_sampled_classes=0)
