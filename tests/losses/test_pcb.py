from contextlib import nullcontext

import pytest
import torch
from loss_tester import NUM_CLASSES, LossTester, random_batch
from losses.pcb_reference import SlowEQLv2, SlowPCB, SlowSeesaw, SlowSoftmax, random_batches

from rankdet.losses.pcb import PCBLoss
from rankdet.losses.soft_targets import (
    SoftTargetEQLv2Loss,
    SoftTargetSeesawLoss,
    SoftTargetSoftmaxLoss,
)
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

BASES = {
    "softmax": (SoftTargetSoftmaxLoss, "background_in_soft_part", SlowSoftmax),
    "seesaw": (SoftTargetSeesawLoss, "has_factors_of_label", SlowSeesaw),
    "eqlv2": (SoftTargetEQLv2Loss, "weighs_mixed_targets", SlowEQLv2),
}
EXACT = {"rtol": 1e-10, "atol": 1e-10}
all_bases = pytest.mark.parametrize("name", BASES)


def make_pair(name, *, released=False, num_steps=1, start=0, every_step=False, alpha=0.4):
    """The loss in float64 and the slow one, of the same rule."""
    base, rule, slow = BASES[name]
    loss = PCBLoss(
        base(NUM_CLASSES, **{rule: released}),
        alpha=alpha,
        num_steps=num_steps,
        start_epoch=start,
        iterations_per_epoch=1,
        momentum=0.9,
        updates_every_step=every_step,
    ).double()
    slow = SlowPCB(
        slow(NUM_CLASSES, released), alpha=alpha, momentum=0.9, start=start, every_step=every_step
    )
    return loss, slow


def assert_same(loss, slow, batches):
    """Values and gradients over iterations; a batch is (logits of every step, labels)."""
    for steps, labels in batches:
        expected = slow(steps, labels)
        for step, (logits, target) in enumerate(zip(steps, expected, strict=True)):
            value = loss(logits, labels, step)
            torch.testing.assert_close(value, target, **EXACT)
            (gradient,) = torch.autograd.grad(value, logits)
            torch.testing.assert_close(gradient, torch.autograd.grad(target, logits)[0], **EXACT)


def batches_of_steps(num_batches, loss, num_steps=1, **kwargs):
    batches = random_batches(num_batches * num_steps, NUM_CLASSES, loss.num_logits, **kwargs)
    for group in zip(*[iter(batches)] * num_steps, strict=True):
        yield [logits for logits, _ in group], group[0][1]


class PCBTester(LossTester):
    """In evaluation, because a training step would move the state; class 3 is never seen."""

    def make(self):
        loss, self.slow = make_pair(self.name)
        for steps, labels in batches_of_steps(3, loss):
            labels = labels.masked_fill(labels == 3, NUM_CLASSES)
            loss(steps[0], labels)
            self.slow(steps, labels)
        return loss.eval()

    def reference(self, logits, labels):
        return self.slow.step(logits, labels, self.slow.alpha)

    def test_initial_logits_leave_background_alone(self):
        loss = self.make()
        assert torch.equal(loss.initial_logits(0.01), loss.base.initial_logits(0.01))

    def test_scores_are_those_of_the_base(self):
        loss = self.make()
        logits, _ = random_batch(4, loss.num_logits)
        assert torch.equal(loss.scores(logits), loss.base.scores(logits))


class TestSoftmax(PCBTester):
    name = "softmax"


class TestEQLv2(PCBTester):
    name = "eqlv2"


class TestSeesaw(PCBTester):
    name = "seesaw"

    def test_gradcheck(self):
        # The compensation depends on the logits and yet is a constant to the gradient.
        loss = self.make()
        loss.base.q = 0.0
        logits, labels = random_batch(6, loss.num_logits)
        assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)


@all_bases
@pytest.mark.parametrize("released", [False, True])
def test_iterations_equal_the_papers_equations(name, released):
    loss, slow = make_pair(name, released=released)
    assert_same(loss, slow, batches_of_steps(5, loss))


@all_bases
@pytest.mark.parametrize("every_step", [False, True])
def test_recurrent_steps_equal_the_papers_equations(name, every_step):
    loss, slow = make_pair(name, num_steps=3, every_step=every_step)
    assert_same(loss, slow, batches_of_steps(3, loss, num_steps=3, num_samples=6))


@all_bases
def test_it_starts_after_its_epoch_with_the_statistics_of_all_iterations(name):
    loss, slow = make_pair(name, start=2)
    assert_same(loss, slow, batches_of_steps(4, loss))


@all_bases
def test_the_rules_differ(name):
    batches = [list(batches_of_steps(4, make_pair(name)[0])) for _ in range(2)]
    values = [
        [make(steps[0], labels) for steps, labels in batch][-1]
        for make, batch in zip(
            (make_pair(name, released=x)[0] for x in (0, 1)), batches, strict=True
        )
    ]
    assert abs(values[0] - values[1]) > 1e-3


@all_bases
def test_before_its_start_it_is_the_base(name):
    loss, _ = make_pair(name, start=2)
    base = make_pair(name)[0].base
    for steps, labels in batches_of_steps(2, loss):
        assert torch.equal(loss(steps[0], labels), base(steps[0], labels))
    for key, buffer in base.state_dict().items():
        assert torch.equal(loss.base.state_dict()[key], buffer)


@all_bases
def test_mixing_nothing_is_the_base_and_moves_its_statistics_alike(name):
    mixed, plain = make_pair(name)[0].base, make_pair(name)[0].base
    for steps, labels in batches_of_steps(3, plain):
        targets = torch.rand(len(labels), NUM_CLASSES, dtype=torch.float64)
        value = mixed.mix(steps[0], labels, targets, torch.zeros(len(labels)).double())
        expected = plain(steps[0], labels)
        torch.testing.assert_close(value, expected, **EXACT)
        gradients = [torch.autograd.grad(x, steps[0])[0] for x in (value, expected)]
        torch.testing.assert_close(*gradients, **EXACT)
    for key, buffer in plain.state_dict().items():
        torch.testing.assert_close(mixed.state_dict()[key], buffer, **EXACT)


def test_alpha_rises_linearly_over_the_steps():
    assert [make_pair("softmax", num_steps=3)[0].step_alpha(x) for x in range(3)] == [0, 0.2, 0.4]
    assert make_pair("softmax")[0].step_alpha(0) == 0.4


def test_without_a_step_it_is_the_last():
    losses = [make_pair("softmax", num_steps=3)[0] for _ in range(2)]
    logits, labels = random_batch(9, NUM_CLASSES + 1)
    assert torch.equal(losses[0](logits, labels), losses[1](logits, labels, 2))


@all_bases
def test_a_training_step_reads_nothing_back_from_its_device(name, monkeypatch):
    """Tensors on "meta" have no values: reading one raises, as the report at the start does."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # has no "meta"
    loss, _ = make_pair(name)
    loss.to("meta")
    logits = torch.zeros(9, loss.num_logits, device="meta", requires_grad=True)
    labels = torch.zeros(9, dtype=torch.int64, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        loss(logits, labels)
    loss(logits, labels).backward()
    assert logits.grad.shape == logits.shape


@all_bases
def test_a_batch_without_foreground_leaves_the_confusion_alone(name):
    loss, slow = make_pair(name)
    background = torch.full((12,), NUM_CLASSES)
    batches = list(batches_of_steps(3, loss))
    batches[1] = (batches[1][0], background)
    assert_same(loss, slow, batches)


def test_a_target_made_for_a_pair_moves_the_weaker_class_up():
    """PCB section 3.3: class a gains and b loses where M_ab < M_ba."""
    loss, _ = make_pair("softmax", alpha=1.0)
    loss.eval().confusion.matrix[:2, :2] = torch.tensor([[0.6, 0.1], [0.5, 0.4]])
    loss.confusion.num_updates[:2] = 1
    # Predicted as the matrix says; a sample of class 0 is to show more of class 1 than it does.
    logits = torch.tensor([[0.6, 0.1, 1e-9, 1e-9, 1e-9, 1e-9]]).double().log().requires_grad_()
    loss(logits, torch.tensor([0])).backward()
    assert logits.grad[0, 1] < 0 < logits.grad[0, 0]


def test_classes_not_seen_are_named_once_when_it_starts(caplog):
    loss, _ = make_pair("softmax", start=1)
    logits, _ = random_batch(3, NUM_CLASSES + 1)
    for _ in range(3):
        loss(logits, torch.tensor([0, 2, NUM_CLASSES]))
    (record,) = caplog.records
    assert (
        "3 of 5 classes have not been" in record.message and "class ids 1, 3, 4." in record.message
    )
    assert loss.statistics()["num_unseen_classes"] == 3


def test_an_unknown_epoch_length_is_no_silent_wait():
    loss = PCBLoss(SoftTargetSoftmaxLoss(NUM_CLASSES))
    logits, labels = random_batch(3, NUM_CLASSES + 1)
    with pytest.raises(RuntimeError, match="starts after 16 epochs, but iterations_per_epoch is"):
        loss(logits, labels)
    loss.iterations_per_epoch = 7
    assert loss.start_iteration() == 112


def test_bad_arguments_are_named():
    base = SoftTargetSoftmaxLoss(NUM_CLASSES)
    for kwargs, message in {
        "alpha": (1.5, "alpha is 1.5"),
        "num_steps": (0, "num_steps is 0"),
        "start_epoch": (-1, "start_epoch is -1"),
        "iterations_per_epoch": (0, "iterations_per_epoch is 0"),
    }.items():
        with pytest.raises(ValueError, match=message[1]):
            PCBLoss(base, **{kwargs: message[0]})
    with pytest.raises(TypeError, match="SoftmaxCrossEntropyLoss, which cannot take soft targets"):
        PCBLoss(SoftmaxCrossEntropyLoss(NUM_CLASSES))
    with pytest.raises(ValueError, match="step is 1, but this loss has num_steps=1"):
        PCBLoss(base, start_epoch=0)(*random_batch(3, NUM_CLASSES + 1), 1)
    with pytest.raises(ValueError, match="eps is 0"):
        SoftTargetSeesawLoss(NUM_CLASSES, eps=0)


def test_it_can_be_traced_before_any_training():
    """torch.jit reads every attribute of a module: none may raise."""
    loss = PCBLoss(SoftTargetSoftmaxLoss(NUM_CLASSES)).eval()
    head = torch.nn.Sequential(torch.nn.Linear(2, NUM_CLASSES + 1))
    head.add_module("loss", loss)
    head.forward = lambda x: loss.scores(head[0](x))
    x = torch.randn(3, 2)
    assert torch.equal(torch.jit.trace(head, x, check_trace=False)(x), head(x))
