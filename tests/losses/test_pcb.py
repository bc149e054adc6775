from contextlib import nullcontext

import pytest
import torch
from losses.pcb_reference import SlowEQLv2, SlowPCB, SlowSeesaw, SlowSoftmax, random_batches
from support.loss_tester import NUM_CLASSES, LossTester, learn_and_compute, random_batch

from rankdet.losses import (
    EQLv2Loss,
    PCBLoss,
    SeesawLoss,
    SigmoidBCELoss,
    SoftmaxCrossEntropyLoss,
)
from rankdet.losses._inputs import check_inputs

BASES = {
    "softmax": (SoftmaxCrossEntropyLoss, SlowSoftmax),
    "seesaw": (SeesawLoss, SlowSeesaw),
    "eqlv2": (EQLv2Loss, SlowEQLv2),
}
EXACT = {"rtol": 1e-10, "atol": 1e-10}
all_bases = pytest.mark.parametrize("name", BASES)


def make_pair(name, *, start=0, alpha=0.4):
    """The loss in float64 and the slow one."""
    base, slow = BASES[name]
    loss = PCBLoss(
        base(NUM_CLASSES), alpha=alpha, start_epoch=start, iterations_per_epoch=1, momentum=0.9
    ).double()
    return loss, SlowPCB(slow(NUM_CLASSES), alpha=alpha, momentum=0.9, start=start)


def losses_of_steps(loss, steps, labels):
    """What an iterative head does with a batch."""
    loss.observe(steps[-1], labels)
    boxes = torch.zeros(2, int((labels < NUM_CLASSES).sum()))
    return [
        loss.losses_of_step(step, len(steps), logits, labels, *boxes)["loss_cls"]
        for step, logits in enumerate(steps)
    ]


def assert_same(loss, slow, batches):
    """Values and gradients over iterations; a batch is (logits of every step, labels)."""
    for steps, labels in batches:
        expected, values = slow(steps, labels), losses_of_steps(loss, steps, labels)
        for logits, value, target in zip(steps, values, expected, strict=True):
            torch.testing.assert_close(value, target, **EXACT)
            (gradient,) = torch.autograd.grad(value, logits)
            torch.testing.assert_close(gradient, torch.autograd.grad(target, logits)[0], **EXACT)


def batches_of_steps(num_batches, loss, num_steps=1, **kwargs):
    batches = random_batches(num_batches * num_steps, NUM_CLASSES, loss.num_logits, **kwargs)
    for group in zip(*[iter(batches)] * num_steps, strict=True):
        yield [logits for logits, _ in group], group[0][1]


class PCBTester(LossTester):
    """After three batches, in which class 3 is never seen."""

    def make(self):
        loss, self.slow = make_pair(self.name)
        for steps, labels in batches_of_steps(3, loss):
            labels = labels.masked_fill(labels == 3, NUM_CLASSES)
            loss.observe(steps[0], labels)
            self.slow(steps, labels)
        # EQL v2 weighs a batch by the sums of the batches before it.
        loss.observe(steps[0][:0], labels[:0])
        return loss

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
@pytest.mark.parametrize("num_steps", [1, 3])
def test_iterations_equal_the_papers_equations(name, num_steps):
    loss, slow = make_pair(name)
    batches = batches_of_steps(15 // num_steps, loss, num_steps, num_samples=12 // num_steps + 2)
    assert_same(loss, slow, batches)


@all_bases
def test_it_starts_after_its_epoch_with_the_statistics_of_all_iterations(name):
    loss, slow = make_pair(name, start=2)
    assert_same(loss, slow, batches_of_steps(4, loss))


@all_bases
def test_before_its_start_it_is_the_base(name):
    loss, _ = make_pair(name, start=2)
    base = make_pair(name)[0].base
    for steps, labels in batches_of_steps(2, loss):
        values = [learn_and_compute(x, steps[0], labels) for x in (loss, base)]
        assert torch.equal(*values)
    for key, buffer in base.state_dict().items():
        assert torch.equal(loss.base.state_dict()[key], buffer)


@all_bases
def test_mixing_nothing_is_the_base(name):
    base = make_pair(name)[0].base
    for steps, labels in batches_of_steps(3, base):
        base.observe(steps[0], labels)
        targets = torch.rand(len(labels), NUM_CLASSES, dtype=torch.float64)
        x = check_inputs(steps[0], labels, NUM_CLASSES)
        value = base.mix(x, targets, torch.zeros(len(labels)).double())
        expected = base(steps[0], labels)
        torch.testing.assert_close(value, expected, **EXACT)
        gradients = [torch.autograd.grad(x, steps[0])[0] for x in (value, expected)]
        torch.testing.assert_close(*gradients, **EXACT)


def test_alpha_rises_linearly_over_the_steps():
    loss, _ = make_pair("softmax")
    assert [loss.step_alpha(step, 3) for step in range(3)] == [0, 0.2, 0.4]
    assert loss.step_alpha(0, 1) == 0.4


@all_bases
def test_a_training_step_reads_nothing_back_from_its_device(name, monkeypatch):
    """Tensors on "meta" have no values: reading one raises, as the report at the start does."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # has no "meta"
    loss, _ = make_pair(name)
    loss.to("meta")
    logits = torch.zeros(9, loss.num_logits, device="meta", requires_grad=True)
    labels = torch.zeros(9, dtype=torch.int64, device="meta")
    loss.observe(logits, labels)
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
    loss.observe(torch.zeros(0, NUM_CLASSES + 1), torch.zeros(0, dtype=torch.int64))
    loss.confusion.matrix[:2, :2] = torch.tensor([[0.6, 0.1], [0.5, 0.4]])
    loss.confusion.num_updates[:2] = 1
    # Predicted as the matrix says; a sample of class 0 is to show more of class 1 than it does.
    logits = torch.tensor([[0.6, 0.1, 1e-9, 1e-9, 1e-9, 1e-9]]).double().log().requires_grad_()
    loss(logits, torch.tensor([0])).backward()
    assert logits.grad[0, 1] < 0 < logits.grad[0, 0]


def test_classes_not_seen_are_named_once_when_it_starts(caplog):
    loss, _ = make_pair("softmax", start=1)
    logits, _ = random_batch(3, NUM_CLASSES + 1)
    for _ in range(3):
        learn_and_compute(loss, logits, torch.tensor([0, 2, NUM_CLASSES]))
    (record,) = caplog.records
    assert (
        "3 of 5 classes have not been" in record.message and "class ids 1, 3, 4." in record.message
    )
    assert loss.statistics()["num_unseen_classes"] == 3


def test_without_an_epoch_length_it_starts_at_once_and_says_so(caplog):
    loss = PCBLoss(SoftmaxCrossEntropyLoss(NUM_CLASSES))
    batch = random_batch(40, NUM_CLASSES + 1)
    assert learn_and_compute(loss, *batch) != loss.base(*batch)
    (record,) = caplog.records
    assert "it is to start after 16 epochs, but nobody said how long an epoch is" in record.message
    loss.set_epoch_length(7)
    assert loss.start_iteration() == 112
    loss.set_epoch_length(9)
    assert loss.iterations_per_epoch == 7


def test_bad_arguments_are_named():
    base = SoftmaxCrossEntropyLoss(NUM_CLASSES)
    for kwargs, message in {
        "alpha": (1.5, "alpha is 1.5"),
        "start_epoch": (-1, "start_epoch is -1"),
        "iterations_per_epoch": (0, "iterations_per_epoch is 0"),
    }.items():
        with pytest.raises(ValueError, match=message[1]):
            PCBLoss(base, **{kwargs: message[0]})
    with pytest.raises(TypeError, match="base is SigmoidBCELoss, which cannot take soft targets"):
        PCBLoss(SigmoidBCELoss(NUM_CLASSES))


def test_it_can_be_traced_before_any_training():
    """torch.jit reads every attribute of a module: none may raise."""
    loss = PCBLoss(SoftmaxCrossEntropyLoss(NUM_CLASSES)).eval()
    head = torch.nn.Sequential(torch.nn.Linear(2, NUM_CLASSES + 1))
    head.add_module("loss", loss)
    head.forward = lambda x: loss.scores(head[0](x))
    x = torch.randn(3, 2)
    assert torch.equal(torch.jit.trace(head, x, check_trace=False)(x), head(x))
