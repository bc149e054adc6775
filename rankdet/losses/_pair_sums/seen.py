"""Which negatives the positives of a ranking can see."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_MANY = 0.55  # Share of the logits from which on it is faster to work on all, on one core.
_SAMPLING = 17  # Prime, so that it does not divide the number of classes.


def lowest_seen(positives: Tensor, delta: float) -> Tensor:
    """Logits that are certainly not above min(p) - delta; ``(G, P)`` to ``(G, 1)``.

    Rows without positives see nothing: infinity, with which shorter rows are filled, comes out as
    the largest number.
    """
    lowest = F.pad(positives, (0, 1), value=torch.inf).amin(1, keepdim=True)
    rounded = (lowest.double() - delta).to(positives.dtype)
    return torch.nextafter(rounded, rounded.new_full((), -torch.inf))


def are_many_above(lowest: Tensor, scores: Tensor) -> bool:
    """Whether it takes less time to work on all ``(G, L)`` logits than to pick out those seen.

    On CPU a sample tells; an accelerator would have to be waited for.
    """
    if scores.device.type != "cpu":
        return True
    sample = scores[:, ::_SAMPLING]
    return int((sample >= lowest).sum()) >= _MANY * sample.numel()


def all_negatives(scores: Tensor, goals: Tensor, pos: Tensor) -> Tensor:
    """Logits of all, those of no negatives replaced by one that nobody sees.

    Args:
        scores: ``(G, L)`` logits.
        goals: ``(G, L)`` targets.
        pos: indices of the positives.

    Returns:
        ``(G L,)``.
    """
    nothing = torch.finfo(scores.dtype).min
    negatives = scores.flatten().index_fill(0, pos, nothing)
    if scores.device.type != "cpu" or (goals.numel() > 0 and goals.amin() < 0):
        negatives = negatives.where(goals.flatten() == 0, nothing)
    return negatives
