import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loss_tester import NUM_CLASSES, LossTester, learn_and_compute, random_batch

from rankdet.losses.seesaw import SeesawLoss, seesaw_log_factors, seesaw_loss

COUNTS = [1000, 50, 3, 0, 1]
OPTIONS = {"p": 0.8, "q": 2.0, "eps": 0.01}
seeds = st.integers(0, 10**6)
counts = st.lists(st.integers(0, 10**7), min_size=NUM_CLASSES, max_size=NUM_CLASSES)


def slow_seesaw(logits, labels, class_counts, *, p, q, eps):
    """Seesaw eq. 3 and sections 3.2 and 3.3, sample by sample and class by class."""
    n = [max(int(count), 1) for count in class_counts]
    total = 0 * logits.sum()
    for row, i in zip(logits, labels.tolist(), strict=True):
        z, objectness = row[:NUM_CLASSES], row[NUM_CLASSES:].exp()
        total = total - (objectness[int(i == NUM_CLASSES)] / objectness.sum()).log()
        if i == NUM_CLASSES:
            continue
        s = (z.exp() / z.exp().sum()).tolist()
        denominator = z[i].exp()
        for j in set(range(NUM_CLASSES)) - {i}:
            mitigation = (n[j] / n[i]) ** p if n[i] > n[j] else 1.0
            own = max(s[i], eps)
            compensation = (s[j] / own) ** q if s[j] > own else 1.0
            denominator = denominator + mitigation * compensation * z[j].exp()
        total = total - (z[i].exp() / denominator).log()
    return total / len(labels)


def make_loss(**options):
    loss = SeesawLoss(NUM_CLASSES, **options)
    loss.class_counts.copy_(torch.tensor(COUNTS))
    return loss


class SeesawTester(LossTester):
    """With counts that do not move."""

    p, q, eps = 0.8, 2.0, 0.01

    def make(self):
        return make_loss(p=self.p, q=self.q, eps=self.eps).eval()

    def reference(self, logits, labels):
        return slow_seesaw(logits, labels, COUNTS, p=self.p, q=self.q, eps=self.eps)

    def test_gradcheck(self):
        """Without compensation, which is a constant to the gradient and so not to differences."""
        loss = make_loss(p=self.p, q=0.0, eps=self.eps).eval()
        logits, labels = random_batch(6, loss.num_logits)
        assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)

    def test_initial_logits_leave_background_alone(self):
        """The prior is in the objectness, as the classes share a softmax."""
        logits = self.make().initial_logits(0.01)
        assert logits.shape == (NUM_CLASSES + 2,)
        assert (logits[:NUM_CLASSES] == 0).all() and logits[-1] == 0


class TestSeesawLoss(SeesawTester):
    pass


class TestSeesawLossOfThePaper(SeesawTester):
    eps = 0.0


class TestSeesawLossWithOtherExponents(SeesawTester):
    p, q, eps = 1.3, 0.5, 0.2


def test_the_defaults_are_the_released_ones():
    logits, labels = random_batch(9, NUM_CLASSES + 2)
    expected = slow_seesaw(logits, labels, COUNTS, **OPTIONS)
    torch.testing.assert_close(make_loss().eval()(logits, labels), expected)


def test_training_counts_the_batch_before_its_loss():
    loss, expected_counts = SeesawLoss(NUM_CLASSES), [0] * NUM_CLASSES
    for seed in range(4):
        logits, labels = random_batch(12, loss.num_logits, seed=seed)
        for label in labels.tolist():
            if label < NUM_CLASSES:
                expected_counts[label] += 1
        value = learn_and_compute(loss, logits, labels)
        expected = slow_seesaw(logits, labels, expected_counts, **OPTIONS)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
        gradients = [torch.autograd.grad(x, logits)[0] for x in (value, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
        assert loss.class_counts.tolist() == expected_counts


def test_labels_that_are_refused_are_not_counted():
    loss = make_loss()
    with pytest.raises(ValueError, match="labels contains -3"):
        learn_and_compute(loss, torch.zeros(2, loss.num_logits), torch.tensor([-3, 9]))
    assert loss.class_counts.tolist() == COUNTS


def test_counts_go_on_beyond_the_integers_of_float32():
    loss = SeesawLoss(NUM_CLASSES)
    loss.class_counts.fill_(2**24)
    loss.observe(torch.zeros(1, loss.num_logits), torch.tensor([2]))
    assert loss.class_counts[2].item() == 2**24 + 1


def test_a_resumed_run_equals_an_uninterrupted_one():
    whole, before, after = (SeesawLoss(NUM_CLASSES) for _ in range(3))
    batches = [random_batch(12, whole.num_logits, seed=seed) for seed in range(4)]
    for batch in batches[:2]:
        whole.observe(*batch), before.observe(*batch)
    after.load_state_dict(before.state_dict())
    for batch in batches[2:]:
        assert torch.equal(learn_and_compute(after, *batch), learn_and_compute(whole, *batch))
    assert torch.equal(after.class_counts, whole.class_counts)


def test_backward_after_another_forward():
    loss = SeesawLoss(NUM_CLASSES)
    logits, labels = random_batch(12, loss.num_logits)
    first = learn_and_compute(loss, logits, labels)
    (expected,) = torch.autograd.grad(first, logits, retain_graph=True)
    learn_and_compute(loss, *random_batch(12, loss.num_logits, seed=1))
    assert torch.equal(torch.autograd.grad(first, logits)[0], expected)


def test_background_alone_costs_objectness_alone():
    logits, _ = random_batch(7, NUM_CLASSES + 2)
    terms = seesaw_loss(logits, torch.full((7,), NUM_CLASSES), torch.ones(NUM_CLASSES))
    (gradient,) = torch.autograd.grad(terms.classes + terms.objectness, logits)
    assert terms.classes == 0 and terms.objectness > 0
    assert (gradient[:, :NUM_CLASSES] == 0).all()


@given(seeds, counts)
def test_without_exponents_it_is_two_cross_entropies(seed, class_counts):
    logits, labels = random_batch(9, NUM_CLASSES + 2, seed=seed)
    terms = seesaw_loss(logits, labels, torch.tensor(class_counts), p=0.0, q=0.0)
    rows = labels < NUM_CLASSES
    classes = F.cross_entropy(logits[rows, :NUM_CLASSES], labels[rows], reduction="sum") / 9
    torch.testing.assert_close(terms.classes, classes)
    objectness = F.binary_cross_entropy_with_logits(logits[:, -2] - logits[:, -1], rows.double())
    torch.testing.assert_close(terms.objectness, objectness)


@given(seeds, st.integers(1, 10**7), st.floats(0, 3))
def test_equal_counts_mitigate_nothing(seed, count, p):
    logits, labels = random_batch(9, NUM_CLASSES + 2, seed=seed)
    same = torch.full((NUM_CLASSES,), count)
    expected = seesaw_loss(logits, labels, same, p=0.0, q=2.0)
    torch.testing.assert_close(seesaw_loss(logits, labels, same, p=p, q=2.0), expected)


@given(seeds, counts, st.floats(0, 2), st.floats(0.1, 2))
def test_mitigation_lowers_and_compensation_raises_the_loss(seed, class_counts, low, step):
    logits, labels = random_batch(9, NUM_CLASSES + 2, seed=seed)
    n, slack = torch.tensor(class_counts), 1e-12
    p_low, p_high = (seesaw_loss(logits, labels, n, p=p).classes for p in (low, low + step))
    assert p_high <= p_low + slack
    q_low, q_high = (seesaw_loss(logits, labels, n, q=q).classes for q in (low, low + step))
    assert q_high >= q_low - slack


@given(seeds, counts, st.floats(0, 2), st.floats(0, 3))
@settings(max_examples=50)
def test_mitigation_factors_are_a_seesaw(seed, class_counts, p, eps):
    """One of M_ij and M_ji is 1, and without compensation neither exceeds 1."""
    logits = random_batch(NUM_CLASSES, NUM_CLASSES, seed=seed)[0].detach()
    labels, n = torch.arange(NUM_CLASSES), torch.tensor(class_counts)
    factors = seesaw_log_factors(logits, labels, n, p=p, q=0.0, eps=min(eps, 0.9))
    assert (torch.maximum(factors, factors.T) == 0).all()
    assert (factors.diagonal() == 0).all()


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_factors_of_any_size_do_not_overflow(eps):
    logits = torch.tensor([[-80.0, 80.0, 0.0, 0.0, 0.0, 1.0, -1.0]], requires_grad=True)
    loss = SeesawLoss(NUM_CLASSES, q=20.0, eps=eps).eval()
    value = loss(logits, torch.tensor([0]))
    value.backward()
    expected = 160 + 20 * (160 if eps == 0 else -math.log(eps)) + F.softplus(torch.tensor(-2.0))
    assert value.item() == pytest.approx(expected.item())
    assert torch.isfinite(logits.grad).all()


def test_scores_are_class_given_foreground_times_foreground():
    scores = SeesawLoss(2).scores(torch.tensor([[0.0, math.log(3), math.log(4), 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([[0.2, 0.6, 0.2]]))


@given(st.integers(1, 50), st.floats(0.001, 0.999))
def test_initial_logits_have_the_prior_as_score(num_classes, share):
    loss = SeesawLoss(num_classes)
    scores = loss.scores(loss.initial_logits(share / num_classes).unsqueeze(0))
    torch.testing.assert_close(
        scores[0, :-1], torch.full((num_classes,), share / num_classes), rtol=1e-4, atol=0
    )


def test_a_prior_that_the_softmax_cannot_give_is_named():
    with pytest.raises(
        ValueError, match=r"prior_prob is 0.01, but Seesaw.s 1203 classes .* 0.00083"
    ):
        SeesawLoss(1203).initial_logits(0.01)


@pytest.mark.parametrize("option", [{"p": -0.1}, {"q": math.nan}, {"q": math.inf}])
def test_bad_exponents_are_named(option):
    with pytest.raises(ValueError, match="they are exponents >= 0"):
        SeesawLoss(3, **option)


@pytest.mark.parametrize("eps", [-0.1, 1.0, math.nan])
def test_bad_eps_is_named(eps):
    with pytest.raises(ValueError, match="eps is"):
        SeesawLoss(3, eps=eps)


@pytest.mark.gpu
def test_counting_on_cuda_needs_no_host_sync():
    loss = SeesawLoss(NUM_CLASSES).cuda()
    logits, labels = (x.detach().cuda() for x in random_batch(20, loss.num_logits))
    torch.cuda.set_sync_debug_mode("error")
    try:
        learn_and_compute(loss, logits, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(loss.class_counts, labels.bincount(minlength=NUM_CLASSES)[:NUM_CLASSES])
