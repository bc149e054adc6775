import pytest
import torch

from rankdet.losses import _seesaw_soft
from rankdet.losses._seesaw_soft import seesaw_soft_losses
from rankdet.losses.seesaw import seesaw_log_factors

N, C = 9, 12


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(N, C, generator=generator, dtype=torch.float64)
    targets = torch.rand(N, C, generator=generator, dtype=torch.float64)
    counts = torch.randint(0, 1000, (C,), generator=generator)
    return logits.requires_grad_(), targets / targets.sum(1, keepdim=True), counts


def by_labels(logits, targets, counts, **strengths):
    """PCB eq. 17 as the mean of Seesaw's own cross-entropy over all labels."""
    losses = torch.zeros(len(logits), dtype=logits.dtype)
    for i in range(C):
        labels = torch.full((len(logits),), i)
        factors = seesaw_log_factors(logits, labels, counts, **strengths)
        losses = losses - targets[:, i] * torch.log_softmax(logits + factors, dim=1)[:, i]
    return losses


# Of 12 classes eps 0.2 keeps 5 for the compensation, eps 0 all; chunks are of 1, 2, all samples.
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("chunk_elements", [1, 2 * 5**2, 2**24])
def test_equals_seesaw_for_every_label(batch, monkeypatch, eps, chunk_elements):
    monkeypatch.setattr(_seesaw_soft, "CHUNK_ELEMENTS", chunk_elements)
    strengths = {"p": 0.8, "q": 2.0, "eps": eps}
    losses, expected = seesaw_soft_losses(*batch, **strengths), by_labels(*batch, **strengths)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    weights = torch.arange(1.0, N + 1, dtype=torch.float64)
    gradients = [torch.autograd.grad(weights @ x, batch[0])[0] for x in (losses, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_without_factors_it_is_cross_entropy(batch):
    logits, targets, counts = batch
    losses = seesaw_soft_losses(logits, targets, counts, p=0.0, q=0.0, eps=0.01)
    expected = -(targets * torch.log_softmax(logits, dim=1)).sum(1)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def test_autocast_does_not_round(batch):
    logits, targets, counts = (x.float() if x.is_floating_point() else x for x in batch)
    strengths = {"p": 0.8, "q": 2.0, "eps": 0.01}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = seesaw_soft_losses(logits, targets, counts, **strengths)
    expected = seesaw_soft_losses(*batch, **strengths)
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-6)
