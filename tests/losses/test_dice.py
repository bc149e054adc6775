import pytest
import torch

from rankdet.losses.dice import dice_losses


def test_equals_a_loop_over_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 4, 5, generator=generator) > 0.5
    expected = []
    for logit, mask in zip(logits.flatten(1).tolist(), masks.flatten(1).tolist(), strict=True):
        probs = [float(torch.tensor(x, dtype=torch.float64).sigmoid()) for x in logit]
        overlap = sum(p * t for p, t in zip(probs, mask, strict=True))
        sizes = sum(p * p for p in probs) + sum(t * t for t in mask)
        expected.append(1 - 2 * overlap / (sizes + 1e-5))
    assert dice_losses(logits, masks).tolist() == pytest.approx(expected, rel=1e-12)


def test_perfect_and_opposite_masks():
    masks = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
    assert dice_losses(40 * (2 * masks - 1), masks).max() < 1e-5
    assert torch.equal(dice_losses(-200 * (2 * masks - 1), masks), torch.ones(2))


def test_an_empty_mask_is_finite_with_finite_gradient():
    logits = torch.full((1, 2, 2), -200.0, requires_grad=True)
    losses = dice_losses(logits, torch.zeros(1, 2, 2))
    losses.sum().backward()
    assert losses == 1 and torch.isfinite(logits.grad).all()


def test_is_computed_in_float32_within_autocast():
    logits = torch.randn(2, 3, 3).half()
    masks = torch.ones(2, 3, 3, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = dice_losses(logits, masks)
    assert torch.equal(losses, dice_losses(logits.float(), masks))
    assert losses.dtype == torch.float32
    assert dice_losses(logits[:0], masks[:0]).shape == (0,)
