"""The one place where losses meet ``torch.distributed``."""

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
