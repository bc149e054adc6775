"""Dice loss of masks (Milletari et al., V-Net, 2016), as the mask head of RS Loss uses it."""

import torch
from torch import Tensor

_EPSILON = 1e-5  # As released.


def dice_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """Penalize each mask by one minus its Dice coefficient with the ground truth.

    1 - 2 sum(p t) / (sum(p^2) + sum(t^2) + 1e-5) with p = sigmoid(logit), t the mask.

    Args:
        logits: ``(R, H, W)``.
        masks: ``(R, H, W)`` in [0, 1] or bool.

    Returns:
        ``(R,)`` in [0, 1], float32 or wider.

    Example:
        >>> logits = torch.zeros(1, 1, 2, requires_grad=True)
        >>> losses = dice_losses(logits, torch.tensor([[[1.0, 0.0]]]))
        >>> losses.sum().backward()
        >>> print(losses, logits.grad)
        tensor([0.3333], grad_fn=<RsubBackward1>) tensor([[[-0.2222,  0.1111]]])
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    probs, targets = wide.sigmoid().flatten(1), masks.to(wide.dtype).flatten(1)
    overlap = (probs * targets).sum(dim=1)
    return 1 - 2 * overlap / (probs.square().sum(dim=1) + targets.square().sum(dim=1) + _EPSILON)
