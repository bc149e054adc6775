import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.loss_tester import NUM_CLASSES, LossTester, learn_and_compute, random_batch

from rankdet.losses.eql import EQLLoss, EQLv2Loss, eql_loss, eqlv2_class_weights
from rankdet.losses.sigmoid import sigmoid_bce_loss

IMAGE_COUNTS, NUM_IMAGES, THRESHOLD = [1000, 50, 3, 0, 177], 100_000, 0.00177
CONSTANTS = {"gamma": 12.0, "mu": 0.8, "alpha": 4.0}
POS, NEG = [9.0, 5.0, 0.2, 0.0, 3.0], [10.0, 8.0, 4.0, 0.0, 3.0]
seeds = st.integers(0, 10**6)
gradients = st.floats(0, 1e6)


def sigmoid_term(z, is_positive):
    return -(1 / (1 + (-z if is_positive else z).exp())).log()


class TestEQLLoss(LossTester):
    def make(self):
        return EQLLoss(IMAGE_COUNTS, NUM_IMAGES)

    def reference(self, logits, labels):
        """EQL section 3.1, sample by sample and class by class."""
        total = 0 * logits.sum()
        for row, label in zip(logits, labels.tolist(), strict=True):
            for j, z in enumerate(row):
                y = int(j == label)
                e = int(label < NUM_CLASSES)
                t = int(IMAGE_COUNTS[j] / NUM_IMAGES < THRESHOLD)
                total = total + (1 - e * t * (1 - y)) * sigmoid_term(z, y)
        return total / len(labels)


def test_a_class_on_the_threshold_is_not_rare():
    assert EQLLoss(IMAGE_COUNTS, NUM_IMAGES).is_rare.tolist() == [False, True, True, True, False]


@given(seeds)
def test_without_rare_classes_it_is_sigmoid_bce(seed):
    logits, labels = random_batch(9, NUM_CLASSES, seed=seed)
    loss = EQLLoss(IMAGE_COUNTS, NUM_IMAGES, threshold=0.0)
    torch.testing.assert_close(loss(logits, labels), sigmoid_bce_loss(logits, labels))


@given(seeds, st.lists(st.booleans(), min_size=NUM_CLASSES, max_size=NUM_CLASSES))
def test_only_background_pushes_rare_classes_down(seed, is_rare):
    logits, labels = random_batch(20, NUM_CLASSES, seed=seed)
    is_rare = torch.tensor(is_rare)
    (gradient,) = torch.autograd.grad(eql_loss(logits, labels, is_rare), logits)
    (plain,) = torch.autograd.grad(sigmoid_bce_loss(logits, labels), logits)
    is_own = labels.unsqueeze(1) == torch.arange(NUM_CLASSES)
    is_dropped = (labels < NUM_CLASSES).unsqueeze(1) & is_rare & ~is_own
    assert (gradient[is_dropped] == 0).all()
    torch.testing.assert_close(gradient[~is_dropped], plain[~is_dropped])


def test_instance_counts_are_named():
    with pytest.raises(ValueError, match="image_counts has 300, but num_images is 200; count the"):
        EQLLoss([300, 2], num_images=200)


def test_bad_options_of_eql_are_named():
    with pytest.raises(ValueError, match=r"image_counts\[1\] is -2"):
        EQLLoss([1, -2], num_images=5)
    with pytest.raises(ValueError, match="num_images is 0; it must be positive"):
        EQLLoss([0, 0], num_images=0)
    with pytest.raises(ValueError, match="threshold is -1"):
        EQLLoss([1, 2], num_images=5, threshold=-1)


class SlowEQLv2:
    """EQL v2 section 3.3; its statistics are of gradients that autograd gives, class by class."""

    def __init__(self, pos=(0.0,) * NUM_CLASSES, neg=(0.0,) * NUM_CLASSES):
        self.pos, self.neg = list(pos), list(neg)

    def weights(self, j):
        if j == NUM_CLASSES or self.neg[j] == 0:
            return 1.0, 1.0
        f = 1 / (1 + math.exp(-12 * (self.pos[j] / self.neg[j] - 0.8)))
        return 1 + 4 * (1 - f), f

    def __call__(self, logits, labels, collect=False):
        terms = []
        for row, label in zip(logits, labels.tolist(), strict=True):
            for j, z in enumerate(row):
                q, r = self.weights(j)
                terms.append((q if j == label else r) * sigmoid_term(z, j == label))
        total = torch.stack(terms).sum()
        if collect:
            (gradient,) = torch.autograd.grad(total, logits, retain_graph=True)
            for row, label in zip(gradient.abs().tolist(), labels.tolist(), strict=True):
                for j in range(NUM_CLASSES):
                    (self.pos if j == label else self.neg)[j] += row[j]
        return total / len(labels)


def make_v2(**options):
    loss = EQLv2Loss(NUM_CLASSES, **options)
    sums = {"pos_gradients": torch.tensor(POS), "neg_gradients": torch.tensor(NEG)}
    loss.load_state_dict(sums)
    return loss


class TestEQLv2Loss(LossTester):
    """With statistics that do not move."""

    def make(self):
        return make_v2().eval()

    def reference(self, logits, labels):
        return SlowEQLv2(torch.tensor(POS).tolist(), NEG)(logits, labels)


def test_training_follows_the_gradients():
    loss, slow = EQLv2Loss(NUM_CLASSES), SlowEQLv2()
    for seed in range(4):
        logits, labels = random_batch(12, loss.num_logits, seed=seed)
        value = learn_and_compute(loss, logits, labels)
        expected = slow(logits, labels, collect=True)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
        both = [torch.autograd.grad(x, logits)[0] for x in (value, expected)]
        torch.testing.assert_close(*both, rtol=1e-10, atol=1e-10)
        for sums, expected_sums in ((loss.pos_gradients, slow.pos), (loss.neg_gradients, slow.neg)):
            expected_sums = torch.tensor(expected_sums, dtype=torch.float64)
            torch.testing.assert_close(sums, expected_sums, rtol=1e-10, atol=0)
    loss.observe(logits[:0], labels[:0])  # The next batch is weighted by all four.
    assert loss.weights(torch.zeros(1, NUM_CLASSES + 1)).min() < 0.5


def test_an_empty_batch_leaves_every_weight_at_one():
    loss = EQLv2Loss(NUM_CLASSES)
    loss.observe(*random_batch(0, loss.num_logits))
    assert (loss.weights(random_batch(4, loss.num_logits)[0].sigmoid()) == 1).all()


@given(seeds)
def test_the_first_batch_costs_sigmoid_bce_with_background_as_a_class(seed):
    logits, labels = random_batch(9, NUM_CLASSES + 1, seed=seed)
    torch.testing.assert_close(
        EQLv2Loss(NUM_CLASSES)(logits, labels), sigmoid_bce_loss(logits, labels)
    )


@given(gradients, gradients, st.floats(1.0, 100.0))
def test_weights_depend_on_the_ratio_alone_and_stay_in_range(pos, neg, scale):
    pos, neg = (torch.tensor([x], dtype=torch.float64) for x in (pos, neg))
    weights = torch.cat(eqlv2_class_weights(pos, neg, **CONSTANTS))
    scaled = torch.cat(eqlv2_class_weights(scale * pos, scale * neg, **CONSTANTS))
    torch.testing.assert_close(weights, scaled)
    assert 1 <= weights[0] <= 5 and 0 <= weights[1] <= 1
    more = torch.cat(eqlv2_class_weights(pos + neg, neg, **CONSTANTS))
    assert more[0] <= weights[0] and more[1] >= weights[1]


def test_weights_at_mu_and_without_statistics():
    pos, neg = eqlv2_class_weights(
        torch.tensor([0.8, 0.0, 2.0]), torch.tensor([1.0, 0.0, 0.0]), **CONSTANTS
    )
    torch.testing.assert_close(pos, torch.tensor([3.0, 1.0, 1.0]))
    torch.testing.assert_close(neg, torch.tensor([0.5, 1.0, 1.0]))


def test_background_is_neither_weighted_nor_counted():
    loss = make_v2()
    assert (loss.weights(torch.tensor([[0.0] * 5 + [0.0], [1.0] * 5 + [1.0]]))[:, -1] == 1).all()
    assert loss.pos_gradients.shape == loss.neg_gradients.shape == (NUM_CLASSES,)


@given(seeds, st.floats(0, 1))
def test_a_soft_target_is_shared_out_between_both_sides(seed, share):
    logits = random_batch(6, NUM_CLASSES + 1, seed=seed)[0].detach()
    targets, loss = torch.full_like(logits, share), make_v2().eval()
    ones, zeros = torch.ones_like(targets), torch.zeros_like(targets)
    expected = share * loss.weights(ones) + (1 - share) * loss.weights(zeros)
    torch.testing.assert_close(loss.weights(targets), expected)


def test_nan_logits_do_not_enter_the_statistics():
    loss = make_v2()
    logits, labels = random_batch(9, loss.num_logits)
    logits = logits.detach()
    logits[2, 1] = math.nan
    assert learn_and_compute(loss, logits, labels).isnan()
    assert torch.isfinite(loss.pos_gradients).all() and torch.isfinite(loss.neg_gradients).all()


def test_a_resumed_run_equals_an_uninterrupted_one():
    whole, before, after = (EQLv2Loss(NUM_CLASSES) for _ in range(3))
    batches = [random_batch(12, whole.num_logits, seed=seed) for seed in range(4)]
    for batch in batches[:2]:
        whole.observe(*batch), before.observe(*batch)
    after.load_state_dict(before.state_dict())
    for batch in batches[2:]:
        assert torch.equal(learn_and_compute(after, *batch), learn_and_compute(whole, *batch))
    for name, sums in whole.state_dict().items():
        assert torch.equal(after.state_dict()[name], sums)


def test_backward_after_another_forward():
    loss = EQLv2Loss(NUM_CLASSES)
    logits, labels = random_batch(12, loss.num_logits)
    first = loss(logits, labels)
    (expected,) = torch.autograd.grad(first, logits, retain_graph=True)
    learn_and_compute(loss, *random_batch(12, loss.num_logits, seed=1))
    assert torch.equal(torch.autograd.grad(first, logits)[0], expected)


def test_scores_are_classes_times_no_background():
    scores = EQLv2Loss(1).scores(torch.tensor([[math.log(3), -math.log(4)]]))
    torch.testing.assert_close(scores, torch.tensor([[0.75 * 0.8, 0.2]]))


@pytest.mark.parametrize(
    "option, message",
    [
        ({"gamma": 0.0}, "gamma is 0.0; it must be positive"),
        ({"mu": -1.0}, "mu is -1.0 and alpha is 4.0; both must be >= 0"),
        ({"alpha": math.inf}, "mu is 0.8 and alpha is inf; both must be >= 0"),
    ],
)
def test_bad_options_of_v2_are_named(option, message):
    with pytest.raises(ValueError, match=message):
        EQLv2Loss(3, **option)


@pytest.mark.gpu
def test_collecting_on_cuda_needs_no_host_sync():
    loss, expected = EQLv2Loss(NUM_CLASSES).cuda(), EQLv2Loss(NUM_CLASSES)
    batch = [x.detach() for x in random_batch(20, loss.num_logits)]
    expected.observe(*batch)
    logits, labels = (x.cuda() for x in batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        learn_and_compute(loss, logits, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(loss.pos_gradients.cpu(), expected.pos_gradients)
    torch.testing.assert_close(loss.neg_gradients.cpu(), expected.neg_gradients)
