import pytest
import torch
from losses.label_smoothing_ranks import C, batches_of_rank, make_loss, train, train_rank
from losses.label_smoothing_reference import next_soft_labels, smoothed_loss
from losses.pcb_reference import random_batches
from losses.training_state import check_evaluation, check_ranks, check_resume
from support.loss_tester import NUM_CLASSES, LossTester, learn_and_compute, random_batch
from support.two_ranks import run_two_ranks

from rankdet.losses.label_smoothing import LabelSmoothingLoss, OnlineLabelSmoothingLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

both = pytest.mark.parametrize("make", [LabelSmoothingLoss, OnlineLabelSmoothingLoss])


def random_soft_labels():
    generator = torch.Generator().manual_seed(3)
    rows = torch.rand(NUM_CLASSES, NUM_CLASSES, generator=generator, dtype=torch.float64)
    return rows / rows.sum(dim=1, keepdim=True)


class TestLabelSmoothingLoss(LossTester):
    def make(self):
        return LabelSmoothingLoss(NUM_CLASSES, eps=0.3)

    def reference(self, logits, labels):
        uniform = torch.full((NUM_CLASSES, NUM_CLASSES), 1 / NUM_CLASSES, dtype=torch.float64)
        return smoothed_loss(logits, labels, uniform, 0.3)


class TestOnlineLabelSmoothingLoss(LossTester):
    def make(self):
        loss = OnlineLabelSmoothingLoss(NUM_CLASSES, eps=0.4).double().eval()
        loss.soft_labels.copy_(random_soft_labels())
        return loss

    def reference(self, logits, labels):
        return smoothed_loss(logits, labels, random_soft_labels(), 0.4)


@both
def test_without_a_soft_part_it_is_cross_entropy(make):
    logits, labels = random_batch(9, NUM_CLASSES + 1)
    expected = SoftmaxCrossEntropyLoss(NUM_CLASSES)(logits, labels)
    torch.testing.assert_close(make(NUM_CLASSES, eps=0.0)(logits, labels), expected)


@both
def test_background_is_not_smoothed(make):
    logits, _ = random_batch(9, NUM_CLASSES + 1)
    labels = torch.full((9,), NUM_CLASSES)
    expected = SoftmaxCrossEntropyLoss(NUM_CLASSES)(logits, labels)
    torch.testing.assert_close(make(NUM_CLASSES, eps=0.9)(logits, labels), expected)


def test_epochs_equal_the_equations():
    period, eps = 2, 0.4
    loss = OnlineLabelSmoothingLoss(C, eps, iterations_per_epoch=period).double()
    soft_labels, kept = torch.full((C, C), 1 / C, dtype=torch.float64), set()
    batches = list(random_batches(4 * period, C, C + 1, num_samples=6))
    for start in range(0, len(batches), period):
        epoch = batches[start : start + period]
        for logits, labels in epoch:
            value = learn_and_compute(loss, logits, labels)
            expected = smoothed_loss(logits, labels, soft_labels, eps)
            gradients = [torch.autograd.grad(x, logits)[0] for x in (value, expected)]
            torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
        renewed = next_soft_labels(soft_labels, epoch)
        kept |= {(start, y) for y in range(C) if torch.equal(renewed[y], soft_labels[y])}
        soft_labels = renewed
        assert loss.num_iterations == period
    assert 0 < len(kept) < 4 * C  # Some class had no correct sample once.
    loss.observe(*batches[0])
    torch.testing.assert_close(loss.soft_labels, soft_labels, rtol=1e-10, atol=1e-10)
    assert loss.num_iterations == 1


def test_the_first_epoch_is_label_smoothing():
    logits, labels = random_batch(9, NUM_CLASSES + 1, dtype=torch.float32)
    online = OnlineLabelSmoothingLoss(NUM_CLASSES, eps=0.2)
    for _ in range(3):  # Its length is not known, so that it never ends.
        value = learn_and_compute(online, logits, labels)
    torch.testing.assert_close(value, LabelSmoothingLoss(NUM_CLASSES, eps=0.2)(logits, labels))
    assert online.num_iterations == 3 and online.prediction_sums.any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_non_finite_logits_do_not_reach_the_soft_labels(bad):
    loss, clean = (
        OnlineLabelSmoothingLoss(NUM_CLASSES, iterations_per_epoch=1).double() for _ in range(2)
    )
    logits, labels = (torch.cat([x.detach()] * 2) for x in random_batch(20, NUM_CLASSES + 1))
    broken = logits.clone()
    correct = (broken.argmax(dim=1) == labels).nonzero()[0, 0]
    broken[correct, labels[correct]] = bad
    assert not torch.isfinite(learn_and_compute(loss, broken, labels))
    others = torch.arange(40) != correct  # One of them is its twin.
    clean.observe(logits[others], labels[others])
    for x in (loss, clean):  # Starts the next epoch.
        x.observe(logits[:0], labels[:0])
    torch.testing.assert_close(loss.soft_labels, clean.soft_labels, rtol=1e-10, atol=1e-10)


def test_no_samples_still_count_as_an_iteration():
    loss = make_loss()
    for _ in range(3):
        loss.observe(torch.zeros(0, C + 1), torch.zeros(0, dtype=torch.int64))
    assert loss.num_iterations == 1 and (loss.soft_labels == 1 / C).all()


def test_two_ranks_are_one_process_on_the_union(tmp_path):
    loss, ranks = make_loss(), run_two_ranks(train_rank, tmp_path)
    check_ranks(ranks, loss, train, [batches_of_rank(rank) for rank in range(2)])
    assert (loss.soft_labels != 1 / C).any()


@pytest.mark.parametrize("num_before", [2, 3])
def test_a_resumed_training_goes_on_as_it_was(num_before):
    check_resume(make_loss, train, batches_of_rank(0), num_before)


def test_evaluation_moves_nothing():
    loss = make_loss()
    train(loss, batches_of_rank(0)[:3])
    check_evaluation(loss, train, batches_of_rank(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": -0.1}, r"eps is -0.1; it is the share of the soft label, in \[0, 1\]"),
        ({"eps": 1.1}, "eps is 1.1"),
        ({"iterations_per_epoch": 0}, "iterations_per_epoch is 0; give a number >= 1, or None"),
    ],
)
def test_numbers_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        OnlineLabelSmoothingLoss(C, **options)
