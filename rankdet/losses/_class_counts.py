"""Class counts that a loss is given: how they are checked, and what is said about them."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def check_counts(name: str, counts: Tensor | Sequence[float]) -> Tensor:
    """Turn per-class counts into a float64 CPU vector.

    Args:
        name: how the caller calls them, for the message.
        counts: C numbers >= 0: sequence, array or tensor.

    Returns:
        ``(C,)`` float64.

    Raises:
        ValueError: not a non-empty vector, or a count is negative or not finite.
    """
    # A copy: what the caller later does to its counts is none of the loss's business.
    vector = torch.as_tensor(counts, dtype=torch.float64, device="cpu").clone()
    if vector.dim() != 1 or vector.numel() == 0:
        raise ValueError(
            f"{name} must be a vector with one count per class, got shape {tuple(vector.shape)}; "
            "take it from rankdet.data.class_stats.class_counts(dataset_name)."
        )
    bad = (~torch.isfinite(vector) | (vector < 0)).nonzero()
    if len(bad):
        index = int(bad[0])
        raise ValueError(
            f"{name}[{index}] is {vector[index].item():g}; counts are numbers of training "
            "instances and must be >= 0 and finite: recount the training set."
        )
    return vector


def warn_of_empty_classes(counts: Tensor) -> None:
    """Name the classes without instances; they count as one."""
    empty = (counts == 0).nonzero().squeeze(1).tolist()
    if empty:
        shown = ", ".join(map(str, empty[:20])) + (", ..." if len(empty) > 20 else "")
        logger.warning(
            "%d of %d classes have no training instance and count as one: class ids %s.",
            len(empty),
            len(counts),
            shown,
        )


def warn_of_other_counts(loaded: Tensor, configured: Tensor) -> None:
    """Say in how many classes a checkpoint differs from the configuration, which is used."""
    num_classes = len(configured)
    is_same_size = loaded.shape == configured.shape
    num_other = int((loaded != configured).sum()) if is_same_size else num_classes
    logger.warning(
        "The checkpoint's ECM class_counts differ from the configured ones in %d of %d classes; "
        "the configured counts are used.",
        num_other,
        num_classes,
    )
