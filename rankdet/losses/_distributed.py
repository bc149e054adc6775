"""The one place where losses meet ``torch.distributed``."""

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_ranks_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over all ranks; a no-op in a single process.

    Call it on every rank in every iteration: a collective that depends on the data of a
    rank dead-locks.

    Args:
        tensor: any shape, summed in place.

    Returns:
        The same tensor.
    """
    if _has_other_ranks():
        dist.all_reduce(tensor)
    return tensor


def mean_over_ranks_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its mean over all ranks; see :func:`sum_over_ranks_`.

    Args:
        tensor: any shape, float, averaged in place.

    Returns:
        The same tensor.
    """
    return sum_over_ranks_(tensor).div_(dist.get_world_size()) if _has_other_ranks() else tensor


def positives_per_rank(num_pos: int, like: Tensor) -> Tensor:
    """Divide the positives of all ranks, 1 at least, by the number of ranks.

    A sum of losses over the positives of each rank, divided by this, gives processes, whose
    gradients are averaged, the gradient of one process on all their images. So the focal family
    normalizes. Call it on every rank; see :func:`sum_over_ranks_`.

    Args:
        num_pos: positives of this rank.
        like: gives dtype and device.

    Returns:
        Scalar.
    """
    counts = like.new_ones(2)  # Filled on the device: a copy from the host would wait for it.
    counts[0] = num_pos
    total, num_ranks = sum_over_ranks_(counts)
    return torch.div(total.clamp(min=1), num_ranks)


def sum_rows_over_ranks_(sums: Tensor, counts: Tensor) -> Tensor:
    """Sum over ranks the rows in which any rank has a sample, and send no others.

    How many these are must be known on the host, which waits for it here; a single process does
    not.

    Args:
        sums: ``(C, ...)``, summed in place.
        counts: ``(C,)`` >= 0, samples in each row, already those of all ranks: so all ranks agree
            on the rows.

    Returns:
        ``sums``.
    """
    if _has_other_ranks():
        seen = counts.nonzero().squeeze(1)
        sums[seen] = sum_over_ranks_(sums[seen])
    return sums


def _has_other_ranks() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
