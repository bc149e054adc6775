"""What every classification loss must do; a loss's test subclasses LossTester and gets it all."""

import pytest
import torch

from rankdet.losses.base import ClassificationLoss

NUM_CLASSES = 5


def random_batch(num_samples: int, num_logits: int, *, seed: int = 0, dtype=torch.float64):
    """Logits of every size and labels of every class, background included."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num_samples, num_logits, generator=generator, dtype=dtype)
    labels = torch.randint(0, NUM_CLASSES + 1, (num_samples,), generator=generator)
    return logits.requires_grad_(), labels


def learn_and_compute(loss, logits, labels):
    """What a head does with a batch: the loss observes it, then computes."""
    loss.observe(logits.detach(), labels)
    return loss(logits, labels)


class LossTester:
    """Subclass, implement :meth:`make` and :meth:`reference`, and add what is special."""

    def make(self) -> ClassificationLoss:
        """Build the loss for NUM_CLASSES classes, without randomness or state that moves."""
        raise NotImplementedError

    def reference(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Slow and obvious: loops over samples and classes, straight from the paper."""
        raise NotImplementedError

    @pytest.mark.parametrize("num_samples", [1, 2, 40])
    def test_equals_the_reference_in_value_and_gradient(self, num_samples):
        loss = self.make()
        logits, labels = random_batch(num_samples, loss.num_logits)
        value, expected = loss(logits, labels), self.reference(logits, labels)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
        (gradient,) = torch.autograd.grad(value, logits)
        (expected_gradient,) = torch.autograd.grad(expected, logits)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-10)

    def test_gradcheck(self):
        loss = self.make()
        logits, labels = random_batch(6, loss.num_logits)
        assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)

    def test_no_samples_give_zero_on_the_graph(self):
        loss = self.make()
        logits, labels = random_batch(0, loss.num_logits)
        value = loss(logits, labels)
        value.backward()
        assert value.item() == 0 and logits.grad.shape == logits.shape

    def test_order_of_samples_does_not_matter(self):
        loss = self.make()
        logits, labels = random_batch(20, loss.num_logits)
        order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(loss(logits[order], labels[order]), loss(logits, labels))

    @pytest.mark.parametrize("autocast", [False, True])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_huge_logits_stay_finite_and_exact_in_float32(self, sign, autocast):
        loss = self.make()
        logits, labels = random_batch(20, loss.num_logits)
        huge = (sign * 1e4 * logits.detach().sign()).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            value = loss(huge.float(), labels)
        torch.testing.assert_close(value.double(), loss(huge, labels), rtol=1e-6, atol=1e-6)
        value.backward()
        assert torch.isfinite(huge.grad).all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        loss = self.make()
        logits, labels = random_batch(20, loss.num_logits)
        half = logits.detach().to(dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(half, labels)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), loss(half.double(), labels), rtol=1e-5, atol=0)

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_non_finite_logits_surface(self, bad):
        loss = self.make()
        logits, labels = random_batch(8, loss.num_logits)
        for column in range(loss.num_logits):
            broken = logits.detach().clone()
            broken[3, column] = bad
            assert not torch.isfinite(loss(broken, labels))

    def test_computing_learns_nothing(self):
        loss = self.make().train()
        before = {name: value.clone() for name, value in loss.state_dict().items()}
        loss(*random_batch(8, loss.num_logits))
        assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())

    def test_ignored_rows_count_as_if_they_were_not_there(self):
        losses = [self.make() for _ in range(2)]
        logits, labels = random_batch(12, losses[0].num_logits)
        boxes = torch.ones(2, int((labels < NUM_CLASSES).sum()))
        extra = torch.cat([logits, logits.flip(0)]), torch.cat([labels, torch.full((12,), -1)])
        values = []
        for loss, batch in zip(losses, [(logits, labels), extra], strict=True):
            loss.observe(*batch)
            values.append(loss.losses(*batch, *boxes))
        for name, value in values[0].items():
            torch.testing.assert_close(values[1][name], value)
        states = [loss.state_dict() for loss in losses]
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value)

    def test_inputs_are_not_modified(self):
        loss = self.make()
        logits, labels = random_batch(8, loss.num_logits)
        before = logits.detach().clone(), labels.clone()
        loss.observe(logits, labels)
        loss(logits, labels).backward()
        loss.scores(logits.detach())
        assert torch.equal(logits, before[0]) and torch.equal(labels, before[1])

    @pytest.mark.parametrize("label", [-1, NUM_CLASSES + 1])
    def test_labels_out_of_range_are_named(self, label):
        loss = self.make()
        logits, labels = random_batch(8, loss.num_logits)
        labels[2] = label
        with pytest.raises(ValueError, match=rf"labels contains {label}, outside \[0, 5\]"):
            loss(logits, labels)

    def test_wrong_number_of_logits_is_named(self):
        loss = self.make()
        logits, labels = random_batch(8, loss.num_logits + 1)
        with pytest.raises(ValueError, match=rf"logits must have shape \(N, {loss.num_logits}\)"):
            loss(logits, labels)

    def test_scores_are_probabilities_with_background_last(self):
        loss = self.make()
        logits, _ = random_batch(8, loss.num_logits)
        scores = loss.scores(logits)
        assert scores.shape == (8, NUM_CLASSES + 1)
        assert scores.min() >= 0 and scores.max() <= 1

    @pytest.mark.parametrize("prior_prob", [0.0, 1.0, -0.1])
    def test_bad_prior_is_named(self, prior_prob):
        with pytest.raises(ValueError, match="prior_prob is"):
            self.make().initial_logits(prior_prob)

    def test_initial_logits_leave_background_alone(self):
        loss = self.make()
        logits = loss.initial_logits(0.01)
        assert logits.shape == (loss.num_logits,) and (logits[:NUM_CLASSES] < 0).all()
        assert (logits[NUM_CLASSES:] == 0).all()

    @pytest.mark.gpu
    def test_cuda_equals_cpu_without_a_host_sync(self):
        loss = self.make()
        logits, labels = random_batch(20, loss.num_logits, dtype=torch.float32)
        expected = loss(logits, labels)
        loss, logits, labels = loss.cuda(), logits.detach().cuda(), labels.cuda()
        torch.cuda.set_sync_debug_mode("error")
        try:
            value = loss(logits, labels)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(value.cpu(), expected)
